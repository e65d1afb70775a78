import type { Analysis } from './analysis.ts';
import { Gpr, Segment } from './cpu-context.ts';
import { type Instruction, NO_REGISTER, RIP_RELATIVE } from './instruction.ts';
import { Access, OperandFlag } from './memory-operands.ts';
import { Immediate, immediateOf, Special, sizeOf, specialOf, WRITES } from './opcode-entry.ts';
import { NO_ACCESS } from './operand-size.ts';
import { memoryBytes } from './parse.ts';

/** Rows of an AMX tile, each of up to 64 bytes: SDM vol. 1, section 18.2. */
const TILE_ROWS = 16;

/** Whether the operand that an entry of the opcode map names is written. */
export const dataAccess = (entry: number): number => ((entry & WRITES) === 0 ? Access.READ : Access.WRITE);

/** Adds the operand that ModRM names, or the one of MOV with an absolute address. */
export function addExplicitOperand(analysis: Analysis): void {
  const { instruction, operands, offset } = analysis;
  const { entry, addressBits } = instruction;
  const special = specialOf(entry);
  const access = dataAccess(entry);
  if (immediateOf(entry) === Immediate.O) {
    offset.set(instruction.displacementLow, instruction.displacementHigh);
    offset.truncate(addressBits);
    analysis.addRange(memoryBytes(instruction), analysis.dataSegment(), access);
    return;
  }
  if (instruction.mod === 3 || sizeOf(entry) === NO_ACCESS) return;
  if (special === Special.vsibd || special === Special.vsibq) {
    operands.flags |= OperandFlag.INCOMPLETE | OperandFlag.VECTOR_INDEX;
    return;
  }
  const bytes = memoryBytes(instruction);
  setBaseAndDisplacement(analysis);
  if (instruction.index !== NO_REGISTER && special !== Special.tile)
    offset.addRegister(analysis.context, instruction.index, instruction.scale);
  if (special === Special.popm && instruction.base === Gpr.RSP) offset.add(bytes, 0);
  else if (special === Special.bt) addBitOffset(analysis);
  offset.truncate(addressBits);
  if (special === Special.tile) addTileRows(analysis, access);
  else analysis.addRange(bytes, segmentOf(instruction), access);
}

/** The offset without an index, with all bits. */
export function setBaseAndDisplacement({ instruction, context, offset }: Analysis): void {
  const { base } = instruction;
  offset.set(instruction.displacementLow, instruction.displacementHigh);
  if (base === RIP_RELATIVE) {
    offset.addRegister(context, Gpr.RIP, 0);
    offset.add(instruction.length, 0);
  } else if (base !== NO_REGISTER) offset.addRegister(context, base, 0);
}

/** SDM vol. 1, section 3.7.4: what is based on rSP or rBP lies on the stack. */
export function segmentOf({ segment, base }: Instruction): number {
  if (segment !== NO_REGISTER) return segment;
  return base === Gpr.RSP || base === Gpr.RBP ? Segment.SS : Segment.DS;
}

/** BT and its kin with a register: a signed bit offset from the address, in whole operands (SDM vol. 2, BT). */
function addBitOffset({ instruction, context, offset }: Analysis): void {
  const { operandSize, reg } = instruction;
  const low = context.registers[2 * reg] as number;
  const high = context.registers[2 * reg + 1] as number;
  if (operandSize === 8) offset.add(((low >>> 3) | (high << 29)) & ~7, (high | 0) >> 3);
  else {
    const bits = operandSize === 2 ? (low << 16) >> 16 : low | 0;
    offset.add((bits >> 3) & -operandSize, bits >> 31);
  }
}

/** Without the tile configuration all rows that a tile can have: an instruction accesses no others. */
function addTileRows(analysis: Analysis, access: number): void {
  const { instruction, context, offset } = analysis;
  const { index, scale, addressBits } = instruction;
  const segment = segmentOf(instruction);
  for (let row = 0; row < TILE_ROWS; row++) {
    analysis.addRange(memoryBytes(instruction), segment, access);
    if (index === NO_REGISTER) return;
    offset.addRegister(context, index, scale);
    offset.truncate(addressBits);
  }
}
