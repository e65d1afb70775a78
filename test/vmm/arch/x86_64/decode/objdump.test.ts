/** The decoder against objdump: over the opcode space, and over a part of this machine's libc. See corpus.ts for more. */
import { existsSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { OperandFlag } from '../../../../../vmm/arch/x86_64/decode/memory-operands.ts';
import { OperandDecoder } from '../../../../../vmm/arch/x86_64/decode/operand-decoder.ts';
import { testUnless } from '../../../../support.ts';
import {
  everything,
  evexEncodings,
  legacyEncodings,
  registerFormEncodings,
  sample,
  vexEncodings,
} from './encodings.ts';
import { disassemble, disassembleEach, type ObjdumpInstruction } from './objdump.ts';
import { disagreement } from './objdump-compare.ts';
import { sampleCpu } from './sample-cpu.ts';

const LIBC = '/lib/x86_64-linux-gnu/libc.so.6';
const LIBC_INSTRUCTIONS = 60_000;

interface Extent {
  /** Stop after so many. */
  readonly most?: number;
  /** Leave out what we do not know: objdump takes many encodings that no processor takes. */
  readonly knownOnly?: boolean;
}

/** Compares all of them; returns how many there were. */
async function compare(
  mode: 16 | 32 | 64,
  instructions: AsyncIterable<ObjdumpInstruction>,
  { most = Number.POSITIVE_INFINITY, knownOnly = false }: Extent = {},
): Promise<number> {
  const cpu = sampleCpu(mode);
  const decoder = new OperandDecoder(cpu);
  const differences: string[] = [];
  let count = 0;
  for await (const theirs of instructions) {
    const ours = decoder.decode(theirs.bytes, theirs.bytes.length);
    if (knownOnly && (ours.flags & OperandFlag.UNKNOWN) !== 0) continue;
    const what = disagreement(ours, theirs, cpu);
    if (what !== undefined)
      differences.push(`${Buffer.from(theirs.bytes).toString('hex')} ${theirs.mnemonic}: ${what}`);
    if (++count === most) break;
  }
  assert.equal(differences, []);
  return count;
}

const compareSample = (mode: 16 | 32 | 64, encodings: Iterable<readonly number[]>, step: number) =>
  compare(mode, disassembleEach([...sample(encodings, step)], mode), { knownOnly: true });

test('OperandDecoder: legacy opcodes access what objdump says, in all modes', async () => {
  for (const [mode, step] of [
    [64, 31],
    [32, 47],
    [16, 61],
  ] as const)
    assert.ok((await compareSample(mode, legacyEncodings(mode, everything), step)) > 1000);
  assert.ok((await compareSample(64, registerFormEncodings(), 1)) > 200);
});

test('OperandDecoder: VEX and EVEX opcodes access what objdump says', async () => {
  for (const [mode, step] of [
    [64, 31],
    [32, 47],
  ] as const) {
    assert.ok((await compareSample(mode, vexEncodings(mode, everything), step)) > 500);
    assert.ok((await compareSample(mode, evexEncodings(mode, everything), 5 * step)) > 500);
  }
});

testUnless(
  existsSync(LIBC) ? undefined : `no ${LIBC}`,
  test,
  'OperandDecoder: the instructions of libc access what objdump says',
  async () => {
    assert.is(await compare(64, disassemble('-d', LIBC), { most: LIBC_INSTRUCTIONS }), LIBC_INSTRUCTIONS);
  },
);

test.run();
