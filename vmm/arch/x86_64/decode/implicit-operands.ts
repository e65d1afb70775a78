import type { Analysis } from './analysis.ts';
import { Gpr, Segment } from './cpu-context.ts';
import type { Instruction } from './instruction.ts';
import { Access } from './memory-operands.ts';
import { Prefix } from './notation.ts';
import { Special, specialOf } from './opcode-entry.ts';
import { operandBytes, sizeCode, stackOperandSize } from './operand-size.ts';

const NEAR_POINTER = sizeCode('f64');
const CACHE_LINE = 64;
/** More than the longest frame that is pushed without a change of stack: SDM vol. 3, figures 6-4 and 6-9. */
const INTERRUPT_FRAME = 48;
/** An inter-privilege IRET to virtual-8086 mode pops nine words: SDM vol. 2, IRET. */
const LONGEST_RETURN = 9;

/** Adds the operands that an instruction has without naming them. */
export function addImplicitOperands(analysis: Analysis): void {
  const { instruction } = analysis;
  const special = specialOf(instruction.entry);
  if (special === Special.none) return;
  const pushed = pushedBytes(instruction, special);
  const popped = poppedBytes(instruction, special);
  if (pushed > 0) analysis.addPushed(pushed, Access.WRITE);
  else if (popped > 0) addOnStack(analysis, Gpr.RSP, popped);
  else addOtherOperands(analysis, special);
}

function pushedBytes(instruction: Instruction, special: number): number {
  switch (special) {
    case Special.push:
      return stackOperandSize(instruction);
    case Special.call:
      return operandBytes(NEAR_POINTER, instruction);
    case Special.callf:
      // A 64-bit call gate pushes 8 bytes each, whatever the operand size.
      return 2 * operandBytes(NEAR_POINTER, instruction);
    case Special.pusha:
      return 8 * instruction.operandSize;
    default:
      return 0;
  }
}

function poppedBytes(instruction: Instruction, special: number): number {
  switch (special) {
    case Special.pop:
    case Special.popm:
      return stackOperandSize(instruction);
    case Special.ret:
      return operandBytes(NEAR_POINTER, instruction);
    case Special.retf:
      return 4 * instruction.operandSize;
    case Special.popa:
      return 8 * instruction.operandSize;
    case Special.iret:
      return LONGEST_RETURN * instruction.operandSize;
    default:
      return 0;
  }
}

function addOtherOperands(analysis: Analysis, special: number): void {
  const { instruction, offset } = analysis;
  const { addressBits } = instruction;
  switch (special) {
    case Special.enter:
      addEnter(analysis);
      break;
    case Special.leave:
      addOnStack(analysis, Gpr.RBP, stackOperandSize(instruction));
      break;
    case Special.int:
      addInterruptFrame(analysis);
      break;
    case Special.xlat:
      analysis.setOffset(Gpr.RBX, addressBits);
      offset.add((analysis.context.registers[2 * Gpr.RAX] as number) & 0xff, 0);
      offset.truncate(addressBits);
      analysis.addRange(1, analysis.dataSegment(), Access.READ);
      break;
    case Special.maskmov:
      analysis.setOffset(Gpr.RDI, addressBits);
      analysis.addRange(maskmovBytes(instruction), analysis.dataSegment(), Access.WRITE);
      break;
    case Special.dst64:
      analysis.setOffset(instruction.reg, addressBits);
      analysis.addRange(CACHE_LINE, Segment.ES, Access.WRITE);
      break;
    case Special.clzero:
      analysis.setOffset(Gpr.RAX, addressBits);
      offset.set(offset.low & -CACHE_LINE, offset.high);
      analysis.addRange(CACHE_LINE, analysis.dataSegment(), Access.WRITE);
      break;
    case Special.monitor:
    case Special.umonitor:
      analysis.setOffset(special === Special.monitor ? Gpr.RAX : instruction.rm, addressBits);
      analysis.addRange(1, analysis.dataSegment(), Access.READ);
      break;
  }
}

/** MASKMOVQ or MASKMOVDQU. */
const maskmovBytes = ({ prefix }: Instruction): number => (prefix === Prefix.NONE ? 8 : 16);

/** What is read on the stack from a register upwards. */
function addOnStack(analysis: Analysis, register: number, bytes: number): void {
  const { stackBits } = analysis.context;
  analysis.setOffset(register, stackBits);
  analysis.addElements(bytes, stackBits, Segment.SS, Access.READ);
}

/** Pushes rBP, copies frame pointers by nesting level, and tries whether the new top of the stack can be written. */
function addEnter(analysis: Analysis): void {
  const { instruction, context, offset } = analysis;
  const { stackBits } = context;
  const size = stackOperandSize(instruction);
  const level = (instruction.immediate >> 16) & 31;
  const locals = instruction.immediate & 0xffff;
  const pushed = size * (1 + level);
  analysis.addPushed(pushed, Access.WRITE);
  if (locals > 0) {
    analysis.setOffset(Gpr.RSP, stackBits);
    offset.subtract(pushed + locals);
    offset.truncate(stackBits);
    analysis.addRange(size, Segment.SS, Access.WRITE);
  }
  if (level > 1) {
    analysis.setOffset(Gpr.RBP, stackBits);
    offset.subtract(size * (level - 1));
    offset.truncate(stackBits);
    analysis.addElements(size * (level - 1), stackBits, Segment.SS, Access.READ);
  }
}

/** The frame of an interrupt that stays on this stack: in 64-bit mode at an address aligned to 16. */
function addInterruptFrame(analysis: Analysis): void {
  const { context, offset } = analysis;
  const { stackBits } = context;
  analysis.setOffset(Gpr.RSP, stackBits);
  if (stackBits === 64) offset.set(offset.low & -16, offset.high);
  offset.subtract(INTERRUPT_FRAME);
  offset.truncate(stackBits);
  analysis.addElements(INTERRUPT_FRAME, stackBits, Segment.SS, Access.WRITE);
}
