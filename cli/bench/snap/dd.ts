import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { MIB } from '../../../vmm/memory/address.ts';
import type { Sample } from '../harness.ts';

/** Writes as much as an image has by dd(1): what the file system can do, with and without waiting for the disk. */
export function ddWrites(folder: string, bytes: number): Sample {
  return { saved_ms: timeOf(folder, bytes, []), durable_ms: timeOf(folder, bytes, ['conv=fsync']) };
}

function timeOf(folder: string, bytes: number, words: readonly string[]): number {
  const file = join(folder, 'dd.img');
  const started = performance.now();
  try {
    execFileSync('dd', [
      'if=/dev/zero',
      `of=${file}`,
      'bs=1M',
      `count=${bytes / MIB}`,
      'status=none',
      ...words,
    ]);
    return performance.now() - started;
  } finally {
    rmSync(file, { force: true });
  }
}
