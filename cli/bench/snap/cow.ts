import type { CowMechanismName } from '../../../snapshot/cow/mechanism.ts';
import { HUGE_PAGE_SIZE, KIB } from '../../../vmm/memory/address.ts';
import type { Contestant, Sample } from '../harness.ts';
import type { BenchTable } from '../report.ts';
import type { Summary } from '../statistics.ts';
import { column, medianOf, tableOf } from './columns.ts';
import { type GuestOptions, TsvmmSubject } from './tsvmm-subject.ts';

const MECHANISMS = ['mprotect', 'userfaultfd'] satisfies CowMechanismName[];
/** Smaller ones need more mappings than Linux lets a process have. */
const CHUNK_SIZES = [HUGE_PAGE_SIZE, 256 * KIB, 64 * KIB];
const RATE_WINDOW_MS = 1000;

/** Every mechanism with every size of chunks, each in a guest of its own: small chunks split huge pages for good. */
export const cowContestants = (options: GuestOptions): Contestant[] =>
  MECHANISMS.flatMap(cow =>
    CHUNK_SIZES.map(chunkSize => ({
      name: `${cow}, ${chunkSize / KIB} KiB`,
      measure: () => measure(options, cow, chunkSize),
    })),
  );

/** The second snapshot counts: buffers are there, and what the first did to huge pages is done. */
async function measure(options: GuestOptions, cow: CowMechanismName, chunkSize: number): Promise<Sample> {
  const subject = new TsvmmSubject(options);
  try {
    await subject.restart();
    const rate = subject.log.rate(RATE_WINDOW_MS);
    await subject.hotsnap(cow, rate, chunkSize);
    const sample = await subject.hotsnap(cow, rate, chunkSize);
    const { lost_ms = Number.NaN, cow_faults = 0, stall_us = 0 } = sample;
    return { ...sample, elsewhere_us: Math.max(0, (lost_ms * 1000) / Math.max(1, cow_faults) - stall_us) };
  } finally {
    await subject.close();
  }
}

export const cowTable = (all: Record<string, Record<string, Summary>>): BenchTable =>
  tableOf(
    'Copy-on-write faults of a guest that rewrites all its memory: count, and the time of one in us',
    all,
    [
      column.faults,
      medianOf('COPY', 'copy_us', 1, 0),
      medianOf('UNPROTECT', 'unprotect_us', 1, 0),
      medianOf('ALL IN OUR CODE', 'stall_us', 1, 0),
      medianOf('ELSEWHERE', 'elsewhere_us', 1, 0),
      medianOf('OVER 1 MS', 'stalls_long', 1, 0),
      column.longestStall,
      column.longestStallP99,
      column.bufferWaits,
      column.lostWork,
      column.saved,
      medianOf('ARM ms', 'arm_us', 1000),
    ],
  );
