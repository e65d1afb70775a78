import { Address } from './address.ts';
import { type CpuContext, Gpr, Segment } from './cpu-context.ts';
import { Instruction, NO_REGISTER } from './instruction.ts';
import { MemoryOperands } from './memory-operands.ts';

/** Of a string or on the stack. */
const LARGEST_ELEMENT = 8;

/** What the steps of operand analysis share: the instruction, the vCPU, and the list that they fill. */
export class Analysis {
  readonly context: CpuContext;
  readonly instruction = new Instruction();
  readonly operands = new MemoryOperands();
  /** The offset of the operand in work, in its segment. */
  readonly offset = new Address();
  private readonly linear = new Address();

  constructor(context: CpuContext) {
    this.context = context;
  }

  /** Sets the offset to the low `bits` of a register. */
  setOffset(register: number, bits: number): void {
    this.offset.set(0, 0);
    this.offset.addRegister(this.context, register, 0);
    this.offset.truncate(bits);
  }

  /** The segment of an operand without a base register, or of a string's source. */
  dataSegment(): number {
    const { segment } = this.instruction;
    return segment === NO_REGISTER ? Segment.DS : segment;
  }

  /** Appends `bytes` from the offset on. One operand does not wrap where offsets do, or only faults if it would. */
  addRange(bytes: number, segment: number, access: number): void {
    const { linear, offset } = this;
    linear.set(offset.low, offset.high);
    linear.linearize(this.context, segment);
    this.operands.add(linear.low, linear.high, bytes, access);
  }

  /** Appends several elements from the offset on, where offsets have `bits` and go on at 0 between two elements. */
  addElements(bytes: number, bits: number, segment: number, access: number): void {
    const room = bits === 64 ? Number.POSITIVE_INFINITY : 2 ** bits - (this.offset.low >>> 0);
    this.addRange(Math.min(bytes, room + LARGEST_ELEMENT - 1), segment, access);
    if (bytes <= room) return;
    this.offset.set(0, 0);
    this.addRange(Math.min(bytes - room, 2 ** bits), segment, access);
  }

  /** Appends the `bytes` below the stack pointer, which a push writes. */
  addPushed(bytes: number, access: number): void {
    this.setOffset(Gpr.RSP, this.context.stackBits);
    this.offset.subtract(bytes);
    this.offset.truncate(this.context.stackBits);
    this.addElements(bytes, this.context.stackBits, Segment.SS, access);
  }
}
