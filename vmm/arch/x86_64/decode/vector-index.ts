import type { Analysis } from './analysis.ts';
import { dataAccess, segmentOf, setBaseAndDisplacement } from './explicit-operand.ts';
import { OperandFlag } from './memory-operands.ts';
import { Special, sizeOf, specialOf } from './opcode-entry.ts';
import { operandBytes } from './operand-size.ts';

/** Where the parts of vector registers are in a standard-format XSAVE area: CPUID leaf 0DH, EBX of subleaves 2, 6, 7. */
export interface VectorLayout {
  /** Bits 128 to 255 of registers 0 to 15, each 16 bytes. */
  readonly ymmHigh: number;
  /** Bits 256 to 511 of registers 0 to 15, each 32 bytes. */
  readonly zmmHigh: number;
  /** Registers 16 to 31, each 64 bytes. */
  readonly zmm16: number;
}

/** Bits 0 to 127 of registers 0 to 15, each 16 bytes: SDM vol. 1, table 10-2. */
const XMM = 160;

/**
 * Adds the elements of a gather or scatter, whose indices are in a vector register. Elements that the mask excludes are
 * among them.
 */
export function addVectorIndexedOperands(analysis: Analysis, xsave: DataView, layout: VectorLayout): void {
  const { instruction, operands, offset } = analysis;
  const { entry, addressBits, index, scale, vectorLength } = instruction;
  const bytes = operandBytes(sizeOf(entry), instruction);
  const indexBytes = specialOf(entry) === Special.vsibq ? 8 : 4;
  const count = vectorLength / Math.max(bytes, indexBytes);
  const segment = segmentOf(instruction);
  const access = dataAccess(entry);
  for (let element = 0; element < count; element++) {
    const at = lanePosition(index, element * indexBytes, layout);
    const low = xsave.getInt32(at, true);
    const high = indexBytes === 8 ? xsave.getInt32(at + 4, true) : low >> 31;
    setBaseAndDisplacement(analysis);
    if (scale === 0) offset.add(low, high);
    else offset.add(low << scale, (high << scale) | (low >>> (32 - scale)));
    offset.truncate(addressBits);
    analysis.addRange(bytes, segment, access);
  }
  operands.flags &= ~(OperandFlag.VECTOR_INDEX | OperandFlag.INCOMPLETE);
}

function lanePosition(register: number, byte: number, { ymmHigh, zmmHigh, zmm16 }: VectorLayout): number {
  if (register >= 16) return zmm16 + 64 * (register - 16) + byte;
  if (byte >= 32) return zmmHigh + 32 * register + byte - 32;
  return byte >= 16 ? ymmHigh + 16 * register + byte - 16 : XMM + 16 * register + byte;
}
