import { type CpuContext, createCpuContext } from '../../../../../vmm/arch/x86_64/decode/cpu-context.ts';
import { Access, type MemoryOperands } from '../../../../../vmm/arch/x86_64/decode/memory-operands.ts';

export interface Range {
  readonly start: bigint;
  readonly bytes: number;
  readonly write: boolean;
  readonly descending: boolean;
}

/** The operands in a form that tests can compare. */
export const rangesOf = ({ count, low, high, bytes, access }: MemoryOperands): Range[] =>
  Array.from({ length: count }, (_, i) => ({
    start: (BigInt(high[i] as number) << 32n) | BigInt(low[i] as number),
    bytes: bytes[i] as number,
    write: ((access[i] as number) & Access.WRITE) !== 0,
    descending: ((access[i] as number) & Access.DESCENDING) !== 0,
  }));

/** `1000+8w`: eight bytes at 0x1000 are written. */
export const textOf = (operands: MemoryOperands): string[] =>
  rangesOf(operands).map(
    ({ start, bytes, write, descending }) =>
      `${start.toString(16)}+${bytes}${write ? 'w' : 'r'}${descending ? '-' : ''}`,
  );

/** Sets one of 17 general registers, in encoding order, or one of six segment bases. */
export function setWord(words: Uint32Array, index: number, value: bigint): void {
  words[2 * index] = Number(BigInt.asUintN(32, value));
  words[2 * index + 1] = Number(BigInt.asUintN(32, value >> 32n));
}

/** A flat vCPU in which all registers are 0 but those given, by their number. */
export function flatCpu(codeBits: 16 | 32 | 64, registers: Record<number, bigint> = {}): CpuContext {
  const context = createCpuContext();
  context.codeBits = codeBits;
  context.stackBits = codeBits;
  for (const [register, value] of Object.entries(registers))
    setWord(context.registers, Number(register), value);
  return context;
}
