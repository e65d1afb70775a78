import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { MIB } from '../../../vmm/memory/address.ts';
import type { Sample } from '../harness.ts';

/** How exactly the end of dd is seen. */
const SPIN_MS = 5;

/**
 * Writes as much as an image has by dd(1): what the file system can do, with and without waiting for the disk. Beside it
 * this thread is as busy as a guest at full rate; how long it is kept from running no guest here can be spared.
 */
export async function ddWrites(folder: string, bytes: number): Promise<Sample> {
  const saved = await run(folder, bytes, []);
  const durable = await run(folder, bytes, ['conv=fsync']);
  return { saved_ms: saved.took_ms, durable_ms: durable.took_ms, stall_us_max: durable.longestGap_ms * 1000 };
}

async function run(
  folder: string,
  bytes: number,
  words: readonly string[],
): Promise<{ took_ms: number; longestGap_ms: number }> {
  const file = join(folder, 'dd.img');
  const started = performance.now();
  let longestGap_ms = 0;
  try {
    const output = [`of=${file}`, 'bs=1M', `count=${bytes / MIB}`, 'status=none'];
    const child = spawn('dd', ['if=/dev/zero', ...output, ...words], { stdio: 'inherit' });
    const exit = once(child, 'exit');
    while (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      longestGap_ms = Math.max(longestGap_ms, spin(SPIN_MS));
      await setImmediate();
    }
    const [code] = await exit;
    if (code !== 0) throw new Error(`dd failed: ${code}`);
    return { took_ms: performance.now() - started, longestGap_ms };
  } finally {
    rmSync(file, { force: true });
  }
}

/** Looks at nothing but the clock; the longest time between two looks. */
function spin(duration_ms: number): number {
  const started = performance.now();
  let longest = 0;
  for (let last = started; last - started < duration_ms; ) {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }
  return longest;
}
