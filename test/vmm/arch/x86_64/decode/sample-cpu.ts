import { type CpuContext, Gpr } from '../../../../../vmm/arch/x86_64/decode/cpu-context.ts';
import { flatCpu, setWord } from './ranges.ts';

/** A vCPU whose registers all differ, in each of their parts, so that no two addresses are the same by chance. */
export function sampleCpu(codeBits: 16 | 32 | 64): CpuContext {
  const context = flatCpu(codeBits);
  for (let register = 0; register <= Gpr.RIP; register++)
    setWord(context.registers, register, 0xffff_8000_7000_1230n + BigInt(register) * 0x0123_0987_6510n);
  // One repetition: ranges of string instructions are tested elsewhere.
  setWord(context.registers, Gpr.RCX, 1n);
  for (let segment = 0; segment < 6; segment++) {
    const high = codeBits === 64 && segment >= 4 ? 0x0100n * BigInt(segment) : 0n;
    setWord(context.segmentBases, segment, (high << 32n) | (0x1001_0000n * BigInt(segment + 3)));
  }
  return context;
}

/** The registers or segment bases as 64-bit values, in the order of the context. */
export const wordsOf = (words: Uint32Array): bigint[] =>
  Array.from(
    { length: words.length / 2 },
    (_, i) => BigInt(words[2 * i] as number) | (BigInt(words[2 * i + 1] as number) << 32n),
  );
