/** Runs instructions on the CPU itself: see native.c. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bytes, elements, struct, u64 } from '../../../../../vmm/ffi/struct.ts';

/** As in native.c. */
export const CODE = 0x2000_0000n;
export const DATA = 0x3000_0000n;
export const DATA_BYTES = 8192;
export const SIGTRAP = 5n;

const word = struct('word', { value: u64 });
const layout = struct('state', {
  registers: elements(word, 16),
  rflags: u64,
  signal: u64,
  code: bytes(16),
  area: bytes(4096),
  data: bytes(DATA_BYTES),
});

/** What an instruction begins and ends with. */
export interface CpuState {
  /** In encoding order. */
  readonly registers: readonly bigint[];
  readonly rflags: bigint;
  /** XSAVE area in the standard format, as KVM_GET_XSAVE gives it. */
  readonly area: Uint8Array;
  /** Two pages at DATA. */
  readonly data: Uint8Array;
}

let program: string | undefined;

function buildProgram(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tsvmm-native-'));
  process.on('exit', () => rmSync(folder, { recursive: true }));
  const path = join(folder, 'native');
  execFileSync('gcc', ['-O1', '-Wall', '-o', path, join(import.meta.dirname, 'native.c')]);
  return path;
}

/** What each instruction makes of its state, and the signal that ended it: SIGTRAP if it went through. */
export function runNatively(
  runs: readonly { readonly code: Uint8Array; readonly before: CpuState }[],
): (CpuState & { readonly signal: bigint })[] {
  program ??= buildProgram();
  const input = Buffer.alloc(runs.length * layout.size);
  for (const [i, { code, before }] of runs.entries()) {
    const state = layout.at(input.buffer, input.byteOffset + i * layout.size);
    for (const [j, value] of before.registers.entries())
      (state.registers[j] as { value: bigint }).value = value;
    state.rflags = before.rflags;
    state.code.set(code.subarray(0, 16));
    state.area.set(before.area);
    state.data.set(before.data);
  }
  const { stdout, status, signal } = spawnSync(program, { input, maxBuffer: 2 ** 31 });
  if (status !== 0) throw new Error(`native ended with ${status ?? signal}`);
  return runs.map((_, i) => {
    const state = layout.at(stdout.buffer, stdout.byteOffset + i * layout.size);
    return {
      registers: state.registers.map(({ value }) => value),
      rflags: state.rflags,
      signal: state.signal,
      area: state.area,
      data: state.data,
    };
  });
}
