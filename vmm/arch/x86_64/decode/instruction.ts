import type { CpuContext } from './cpu-context.ts';
import type { OpcodeMap } from './notation.ts';
import { Prefix } from './notation.ts';
import type { SizeConditions } from './operand-size.ts';

/** Longest instruction: SDM vol. 2, section 2.3.11. */
export const LONGEST_INSTRUCTION = 15;

/** Values of `base` and `index` that are not general registers. */
export const NO_REGISTER = -1;
export const RIP_RELATIVE = 16;

/** Value of `mapNumber` for encodings with a vector prefix. */
export const VECTOR_MAP = -1;

/** The fields of one instruction (SDM vol. 2, chapter 2), and a cursor on its bytes. Reused for the next one. */
export class Instruction implements SizeConditions {
  /** Bytes read so far; in the end, the length of the instruction. */
  length = 0;
  codeBits = 64;
  /** 2, 4 or 8 bytes. */
  operandSize = 4;
  /** 16, 32 or 64. */
  addressBits = 64;
  vectorLength = 16;
  wide = 0;
  /** There is a REX prefix, whatever it says: registers 4 to 7 have other bytes without one. */
  rex = false;
  xsaveLength = 0;
  /** Segment override, or NO_REGISTER. */
  segment = NO_REGISTER;
  /** F2 or F3 before a string instruction. */
  repeated = false;
  /** One of Prefix: the mandatory prefix. */
  prefix: number = Prefix.NONE;
  /** The map that the opcode is looked up in, or undefined for an encoding without one. */
  map: OpcodeMap | undefined = undefined;
  /** The map is 0F, in its legacy form: some of its register forms are instructions of their own. */
  hasRegisterForms = false;
  /** Of the legacy encodings: 0 for one-byte opcodes, 1 for 0F, 2 for 0F 38, 3 for 0F 3A; VECTOR_MAP for VEX and others. */
  mapNumber = VECTOR_MAP;
  opcode = 0;
  /** What the opcode map says: see opcode-entry.ts. */
  entry = 0;
  /** ModRM.mod; 3 if the operand is not in memory. */
  mod = 3;
  /** ModRM.reg, with its extension. */
  reg = 0;
  /** ModRM.rm, with its extension, where it names a register. */
  rm = 0;
  base = NO_REGISTER;
  /** A vector register for gathers and scatters. */
  index = NO_REGISTER;
  /** Shift of the index. */
  scale = 0;
  /** Sign-extended to 64 bits; an absolute address for MOV with O operands. Signed halves. */
  displacementLow = 0;
  displacementHigh = 0;
  /** The first four bytes of the immediate, signed. */
  immediate = 0;

  /** Register extensions of REX, VEX and EVEX: 0 or 8. */
  extendReg = 0;
  extendIndex = 0;
  extendBase = 0;
  /** EVEX.V', which extends the index of gathers and scatters: 0 or 16. */
  extendVectorIndex = 0;
  evex = false;
  /** EVEX.b */
  broadcast = false;

  /** More bytes were read than there are. */
  overrun = false;
  private bytes: Uint8Array = new Uint8Array(0);
  private end = 0;

  /** Makes this an instruction of which nothing is known but its first `available` bytes. */
  reset(bytes: Uint8Array, available: number, context: CpuContext): void {
    this.bytes = bytes;
    this.end = Math.min(available, LONGEST_INSTRUCTION, bytes.length);
    this.overrun = false;
    this.length = 0;
    this.codeBits = context.codeBits;
    this.xsaveLength = context.xsaveLength;
    this.operandSize = context.codeBits === 16 ? 2 : 4;
    this.addressBits = context.codeBits;
    this.vectorLength = 16;
    this.wide = 0;
    this.rex = false;
    this.segment = NO_REGISTER;
    this.repeated = false;
    this.prefix = Prefix.NONE;
    this.map = undefined;
    this.hasRegisterForms = false;
    this.mapNumber = VECTOR_MAP;
    this.entry = 0;
    this.mod = 3;
    this.reg = 0;
    this.rm = 0;
    this.base = NO_REGISTER;
    this.index = NO_REGISTER;
    this.scale = 0;
    this.displacementLow = 0;
    this.displacementHigh = 0;
    this.immediate = 0;
    this.extendReg = 0;
    this.extendIndex = 0;
    this.extendBase = 0;
    this.extendVectorIndex = 0;
    this.evex = false;
    this.broadcast = false;
  }

  /** The next byte; 0 behind the end. */
  next(): number {
    if (this.length >= this.end) {
      this.overrun = true;
      return 0;
    }
    return this.bytes[this.length++] as number;
  }

  /** `count` bytes, at most 4, little-endian, as a signed 32-bit value; shorter ones are not sign-extended. */
  nextBytes(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++) value |= this.next() << (8 * i);
    return value;
  }

  /** The next byte, which stays the next; 0 behind the end. */
  peek(): number {
    return this.length < this.end ? (this.bytes[this.length] as number) : 0;
  }
}
