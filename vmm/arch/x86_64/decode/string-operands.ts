import type { Analysis } from './analysis.ts';
import { Gpr, Segment } from './cpu-context.ts';
import { dataAccess } from './explicit-operand.ts';
import { Access } from './memory-operands.ts';
import { STRING_DESTINATION, STRING_SOURCE } from './opcode-entry.ts';
import { memoryBytes } from './parse.ts';

/** Adds the operands of MOVS, STOS, LODS, CMPS, SCAS, INS and OUTS: with a repeat prefix all that is left of them. */
export function addStringOperands(analysis: Analysis): void {
  const { entry } = analysis.instruction;
  const access = dataAccess(entry);
  if ((entry & STRING_DESTINATION) !== 0) addString(analysis, Gpr.RDI, Segment.ES, access);
  if ((entry & STRING_SOURCE) !== 0) addString(analysis, Gpr.RSI, analysis.dataSegment(), Access.READ);
}

function addString(analysis: Analysis, register: number, segment: number, access: number): void {
  const { instruction, context, offset } = analysis;
  const { addressBits } = instruction;
  const size = memoryBytes(instruction);
  const count = instruction.repeated ? repetitions(analysis) : 1;
  if (count === 0) return;
  analysis.setOffset(register, addressBits);
  if (!context.descending) {
    analysis.addElements(size * count, addressBits, segment, access);
    return;
  }
  offset.subtract(size * (count - 1));
  offset.truncate(addressBits);
  analysis.addElements(size * count, addressBits, segment, access | Access.DESCENDING);
}

/** rCX in the width of addresses, at most 2^32 - 1: no guest has as much memory as that would touch. */
function repetitions({ instruction, context }: Analysis): number {
  const low = context.registers[2 * Gpr.RCX] as number;
  if (instruction.addressBits === 16) return low & 0xffff;
  if (instruction.addressBits === 64 && context.registers[2 * Gpr.RCX + 1] !== 0) return 0xffff_ffff;
  return low;
}
