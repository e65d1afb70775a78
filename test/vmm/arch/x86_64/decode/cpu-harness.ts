/** Runs instructions on the CPU itself, with write-protected operands: see cpu-harness.c. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** As in cpu-harness.c: where the instruction is put, where calls may go, and the protected pages. */
export const CODE = 0x2000_0000n;
export const CALL_TARGET = CODE + 0x800n;
export const DATA = 0x3000_0000n;
export const DATA_BYTES = 64n * 4096n;

export const SIGTRAP = 5;
const REQUEST_BYTES = (16 + 3) * 8 + 16;

export interface CpuRequest {
  /** At most 16 bytes. */
  readonly code: Uint8Array;
  readonly mode: 32 | 64;
  /** The 16 general registers in encoding order. */
  readonly registers: readonly bigint[];
  readonly rflags: bigint;
  readonly gsBase: bigint;
}

export interface CpuResponse {
  /** What ended it: SIGTRAP if the instruction went through. */
  readonly signal: number;
  /** Behind the int3 that ended it. */
  readonly rip: bigint;
  /** Each write to a page that was still protected, with the 16 general registers and RIP at that moment. */
  readonly faults: readonly { readonly address: bigint; readonly registers: readonly bigint[] }[];
}

/** Builds the harness once; it is gone when the process ends. */
function buildHarness(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tsvmm-cpu-'));
  process.on('exit', () => rmSync(folder, { recursive: true }));
  const harness = join(folder, 'cpu-harness');
  execFileSync('gcc', ['-O1', '-Wall', '-o', harness, join(import.meta.dirname, 'cpu-harness.c')]);
  return harness;
}

let harness: string | undefined;

/** Runs each request from fresh, protected memory. */
export function runOnCpu(requests: readonly CpuRequest[]): CpuResponse[] {
  harness ??= buildHarness();
  const input = Buffer.alloc(requests.length * REQUEST_BYTES);
  requests.forEach((request, i) => {
    const at = i * REQUEST_BYTES;
    const words = [...request.registers, request.rflags, request.gsBase, BigInt(request.mode)];
    for (const [j, word] of words.entries()) input.writeBigUInt64LE(BigInt.asUintN(64, word), at + 8 * j);
    input.set(request.code.subarray(0, 16), at + 8 * words.length);
  });
  const { stdout, status, signal } = spawnSync(harness, { input, maxBuffer: 2 ** 31 });
  if (status !== 0) throw new Error(`cpu-harness ended with ${status ?? signal}`);
  return readResponses(stdout);
}

function readResponses(output: Buffer): CpuResponse[] {
  const responses: CpuResponse[] = [];
  let at = 0;
  const next = () => {
    at += 8;
    return output.readBigUInt64LE(at - 8);
  };
  while (at < output.length) {
    const signal = Number(next());
    const rip = next();
    const faults = Array.from({ length: Number(next()) }, () => ({
      address: next(),
      registers: Array.from({ length: 17 }, next),
    }));
    responses.push({ signal, rip, faults });
  }
  return responses;
}

/** The feature flags of this CPU, by the names of /proc/cpuinfo. */
export const cpuFeatures: ReadonlySet<string> = new Set(
  /^flags\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' '),
);
