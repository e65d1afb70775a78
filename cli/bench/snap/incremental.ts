import { setTimeout } from 'node:timers/promises';
import type { Compression } from '../../../snapshot/image/compression-names.ts';
import { MIB } from '../../../vmm/memory/address.ts';
import type { Contestant } from '../harness.ts';
import type { BenchTable } from '../report.ts';
import type { Summary } from '../statistics.ts';
import { column, tableOf } from './columns.ts';
import { type GuestOptions, SETTLE_MS, type TsvmmSubject } from './tsvmm-subject.ts';
import { SPARED_BYTES } from './workload.ts';

/** Of 4 KiB: 78 MiB a second. */
const PAGES_PER_SECOND = 20_000;

const ways: readonly { compression: Compression; isIncremental: boolean }[] = [
  { compression: 'none', isIncremental: false },
  { compression: 'none', isIncremental: true },
  { compression: 'lz4', isIncremental: false },
  { compression: 'zstd', isIncremental: false },
  { compression: 'zstd', isIncremental: true },
];

/** A guest with all its memory in use, of which it changes a part from one snapshot to the next. */
export const slowlyDirtyGuest = (image: string, memory_bytes: number): GuestOptions => ({
  image,
  memory_bytes,
  cmdline: `dirty size=${memory_bytes - SPARED_BYTES} rate=${PAGES_PER_SECOND} stat=20`,
});

/** Those that build on another get one of their own before, of which nothing counts. */
export const incrementalContestants = (subject: TsvmmSubject): Contestant[] =>
  ways.map(({ compression, isIncremental }) => ({
    name: `${isIncremental ? 'incremental' : 'full'}${compression === 'none' ? '' : `, ${compression}`}`,
    measure: async () => {
      await subject.restart();
      try {
        await subject.untilWritten((subject.memory_bytes - SPARED_BYTES) / 4096);
        if (!isIncremental) return await subject.compressed(compression);
        await subject.compressed(compression);
        await setTimeout(SETTLE_MS);
        return await subject.incremental(compression);
      } finally {
        await subject.halt();
      }
    },
  }));

export const incrementalTable = (all: Record<string, Record<string, Summary>>): BenchTable =>
  tableOf(
    `A guest that changes ${Math.round((PAGES_PER_SECOND * 4096) / MIB)} MiB of its memory a second`,
    all,
    [
      column.downtime,
      column.downtimeP99,
      column.saved,
      column.durable,
      column.gap,
      column.longestStall,
      column.faults,
      column.bufferWaits,
      column.written,
    ],
  );
