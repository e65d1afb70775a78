import { MIB } from '../../../vmm/memory/address.ts';
import type { BenchReport } from '../../cluster/bench-report.ts';
import { measureWindow, withGuests } from '../guests/bench-guests.ts';
import type { Sample } from '../harness.ts';
import { DISK_BYTES, type DiskStarter, VM } from './disk-guests.ts';

export const workNames = ['random-read', 'random-write', 'sequential-read', 'sequential-write'] as const;
export type WorkName = (typeof workNames)[number];

/** What a guest does with its disk. */
export interface DiskWork {
  readonly name: WorkName;
  /** Name of the sample. */
  readonly metric: string;
  readonly title: string;
  readonly unit: '/s' | 'MiB/s';
  readonly operation: 'read' | 'write';
  readonly pattern: 'random' | 'seq';
  readonly block_bytes: number;
  readonly depth: number;
  /** Part of the disk that is used; a guest that reads fills it first. */
  readonly area_bytes: number;
}

const small = { pattern: 'random', block_bytes: 4096, depth: 8 } as const;
const large = { pattern: 'seq', block_bytes: 128 * 1024, depth: 4 } as const;

export const works: readonly DiskWork[] = [
  {
    ...small,
    name: 'random-read',
    metric: 'random_read_per_s',
    title: '4 KiB random read',
    unit: '/s',
    operation: 'read',
    area_bytes: 32 * MIB,
  },
  {
    ...small,
    name: 'random-write',
    metric: 'random_write_per_s',
    title: '4 KiB random write',
    unit: '/s',
    operation: 'write',
    area_bytes: DISK_BYTES,
  },
  {
    ...large,
    name: 'sequential-read',
    metric: 'sequential_read_mib_per_s',
    title: '128 KiB sequential read',
    unit: 'MiB/s',
    operation: 'read',
    area_bytes: DISK_BYTES,
  },
  {
    ...large,
    name: 'sequential-write',
    metric: 'sequential_write_mib_per_s',
    title: '128 KiB sequential write',
    unit: 'MiB/s',
    operation: 'write',
    area_bytes: DISK_BYTES,
  },
];

export interface WorkOptions {
  /** Taken at equal distances while the area is written for the first time. */
  readonly snapshots: number;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

const STAT_MS = 250;
/** Writes between two snapshots: enough to reach most of the clusters of a qcow2 file. */
const MAXIMUM_DISTANCE = 2000;

/** Runs one work in a guest of its own; operations, or MiB, per second. */
export async function measureWork(
  work: DiskWork,
  start: DiskStarter,
  { snapshots, seconds, signal }: WorkOptions,
): Promise<Sample> {
  const { operation, pattern, block_bytes, depth, area_bytes } = work;
  const options = `size=${area_bytes} op=${operation} pattern=${pattern} bs=${block_bytes} depth=${depth}`;
  const counter = operation === 'read' ? 'reads' : 'writes';
  return withGuests(start(`disk ${options} stat=${STAT_MS}`), signal, async guests => {
    const distance = Math.min(area_bytes / block_bytes / (snapshots + 1), MAXIMUM_DISTANCE);
    const done = (count: number) => (report: BenchReport) =>
      report.event === 'stat' && Number(report.writes) >= count;
    for (let i = 1; i <= snapshots; i++) {
      await guests.log.until(VM, done(i * distance));
      await guests.snapshot();
    }
    // What was just frozen is what the next writes meet: no warming up after snapshots.
    const window = {
      vm: VM,
      workload: 'disk',
      counter,
      warmUp_s: snapshots > 0 && operation === 'write' ? 0 : 0.5,
      seconds,
    };
    const { rate } = await measureWindow(guests, window);
    return { [work.metric]: work.unit === '/s' ? rate : (rate * block_bytes) / MIB };
  });
}
