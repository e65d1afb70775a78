/** Runs zydis-oracle.c. Only the large comparison uses it: Zydis does not come with a compiler, as objdump does. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CpuContext } from '../../../../../vmm/arch/x86_64/decode/cpu-context.ts';
import { wordsOf } from './sample-cpu.ts';

const PACKAGES = ['libzydis-dev', 'libzydis4.0', 'libzycore-dev', 'libzycore1.4'];

export interface ZydisOperand {
  readonly address: bigint;
  readonly bytes: number;
  readonly reads: boolean;
  readonly writes: boolean;
  readonly hidden: boolean;
  readonly stack: boolean;
  readonly vectorIndex: boolean;
}

export interface ZydisInstruction {
  /** 0 if Zydis knows no such instruction. */
  readonly length: number;
  readonly mnemonic: string;
  readonly operands: readonly ZydisOperand[];
}

/** Downloads packages of the distribution and unpacks them in `folder`; needs no root. */
export function unpackPackages(names: readonly string[], folder: string): void {
  mkdirSync(folder, { recursive: true });
  execFileSync('apt-get', ['download', ...names], { cwd: folder, stdio: 'ignore' });
  for (const file of readdirSync(folder).filter(name => name.endsWith('.deb')))
    execFileSync('dpkg-deb', ['-x', file, folder], { cwd: folder });
}

/** Builds the oracle in `folder`, with the distribution's packages unpacked beside it; returns its path. */
export function buildZydisOracle(folder: string): string {
  const root = join(folder, 'zydis');
  const oracle = join(folder, 'zydis-oracle');
  if (existsSync(oracle)) return oracle;
  unpackPackages(PACKAGES, root);
  const libraries = join(root, 'usr/lib/x86_64-linux-gnu');
  execFileSync('gcc', [
    '-O2',
    `-I${join(root, 'usr/include')}`,
    '-o',
    oracle,
    join(import.meta.dirname, 'zydis-oracle.c'),
    `-L${libraries}`,
    '-lZydis',
    '-lZycore',
    `-Wl,-rpath,${libraries}`,
  ]);
  return oracle;
}

/** What Zydis knows about `instructions` (up to 15 bytes each) on a vCPU like `context`. */
export function* askZydis(
  oracle: string,
  context: CpuContext,
  instructions: readonly Uint8Array[],
): Generator<ZydisInstruction> {
  const input = Buffer.alloc(17 * instructions.length);
  instructions.forEach((bytes, i) => {
    input[17 * i] = context.codeBits;
    input[17 * i + 1] = bytes.length;
    input.set(bytes, 17 * i + 2);
  });
  const registers = [...wordsOf(context.registers), ...wordsOf(context.segmentBases)].map(String);
  const { stdout, status } = spawnSync(oracle, registers, { input, maxBuffer: 2 ** 31 });
  if (status !== 0) throw new Error(`zydis-oracle ended with ${status}`);
  const view = new DataView(stdout.buffer, stdout.byteOffset, stdout.byteLength);
  let at = 0;
  while (at < view.byteLength) {
    const length = view.getUint8(at);
    const count = view.getUint8(at + 1);
    const mnemonic = stdout.toString('latin1', at + 2, stdout.indexOf(0, at + 2));
    at += 26;
    const operands = Array.from({ length: count }, (_, i) => readOperand(view, at + 13 * i));
    at += 13 * count;
    yield { length, mnemonic, operands };
  }
}

function readOperand(view: DataView, at: number): ZydisOperand {
  const flags = view.getUint8(at + 12);
  return {
    address: view.getBigUint64(at, true),
    bytes: view.getUint32(at + 8, true),
    reads: (flags & 1) !== 0,
    writes: (flags & 2) !== 0,
    hidden: (flags & 4) !== 0,
    stack: (flags & 8) !== 0,
    vectorIndex: (flags & 16) !== 0,
  };
}
