import { setTimeout as sleep } from 'node:timers/promises';
import { MIB } from '../../../vmm/memory/address.ts';
import { type BenchGuests, withGuests } from '../guests/bench-guests.ts';
import { QemuRun } from '../guests/qemu-run.ts';
import { residentMemory } from '../guests/resident.ts';
import { TsvmmRun } from '../guests/tsvmm-run.ts';
import type { Sample } from '../harness.ts';
import { threadUsage } from './thread-usage.ts';

/** Of each guest. */
export const MEMORY_BYTES = 64 * MIB;
/** After the last guest is ready, what its start has left to do is done: as long as the measurement, up to this. */
const LONGEST_SETTLE_S = 2;

/** Starts so many guests that have nothing to do. */
export type IdleStarter = (count: number) => BenchGuests;

const nameOf = (index: number): string => `n${index}`;
const addressOf = (index: number): string => `10.0.${index >> 8}.${(index & 255) + 1}`;

/** In one process, on a network. */
export const tsvmmGuests: IdleStarter = count => {
  const vm = (index: number) =>
    `  ${nameOf(index)}: { args: [idle], nets: [{ network: lan, ip: ${addressOf(index)}/16 }] }`;
  return new TsvmmRun(
    [
      `name: bench-scale-${process.pid}`,
      `defaults: { image: bench, memory: ${MEMORY_BYTES / MIB}MiB }`,
      'vms:',
      ...Array.from({ length: count }, (_, index) => vm(index)),
      'networks: { lan: {} }',
    ].join('\n'),
  );
};

/** Each in a process of its own, without a network, which would need root. */
export const qemuGuests =
  (image: string): IdleStarter =>
  count =>
    new QemuRun(
      Array.from({ length: count }, (_, index) => ({
        vm: nameOf(index),
        image,
        memory_bytes: MEMORY_BYTES,
        words: 'idle',
        devices: [],
      })),
    );

/** Boots the guests, lets them idle for some seconds, and ends them. */
export async function measureIdle(
  start: IdleStarter,
  count: number,
  { seconds, signal }: { seconds: number; signal: AbortSignal },
): Promise<Sample> {
  const started = performance.now();
  return withGuests(start(count), signal, async guests => {
    for (let index = 0; index < count; index++) {
      await guests.log.until(nameOf(index), report => report.event === 'ready');
    }
    const ready_ms = performance.now() - started;
    await sleep(Math.min(LONGEST_SETTLE_S, seconds) * 1000, undefined, { signal });
    const memories = guests.pids.map(pid => residentMemory(pid, MEMORY_BYTES));
    const sum = (key: 'overhead_mib' | 'private_mib') =>
      memories.reduce((total, memory) => total + memory[key], 0);
    const before = threadUsage(guests.pids);
    const begin = performance.now();
    await sleep(seconds * 1000, undefined, { signal });
    const after = threadUsage(guests.pids);
    const span_us = (performance.now() - begin) * 1000;
    return {
      ready_ms,
      overhead_mib: sum('overhead_mib'),
      private_mib: sum('private_mib'),
      idle_cpu_percent: (100 * (after.cpu_us - before.cpu_us)) / span_us,
      wakeups_per_s: (1e6 * (after.sleep_count - before.sleep_count)) / span_us,
      thread_count: after.thread_count,
    };
  });
}
