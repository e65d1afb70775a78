import { setTimeout } from 'node:timers/promises';
import { GIB, MIB } from '../../../vmm/memory/address.ts';
import type { Sample } from '../harness.ts';
import { type BenchTable, type Goal, printReport } from '../report.ts';
import { linearFit, type Summary, summarize } from '../statistics.ts';
import { p99, show } from './cells.ts';
import { TsvmmSubject } from './tsvmm-subject.ts';
import { dirtyGuest } from './workload.ts';

const SIZES = [64, 128, 256, 512, 1024, 2048, 4096].map(size => size * MIB);
/** In which the guest touches all its memory again. */
const BETWEEN_MS = 200;
const ARM_GOAL_MS = 0.3;

export interface SizesOptions {
  readonly image: string;
  readonly largest_bytes: number;
  readonly rounds: number;
  readonly format: 'text' | 'json';
  readonly signal: AbortSignal;
  readonly progress: (step: string) => void;
}

interface Measured {
  readonly memory_bytes: number;
  /** Pauses in the order in which they were made; the very first counts too. */
  readonly samples: readonly Sample[];
}

/** How the pause grows with the memory: one guest after another, as all at once would not fit. */
export async function benchSizes(options: SizesOptions): Promise<void> {
  const measured: Measured[] = [];
  for (const memory_bytes of SIZES.filter(size => size <= options.largest_bytes))
    measured.push(await measureSize(memory_bytes, options));
  const metric = ({ samples }: Measured, name: string): Summary =>
    summarize(samples.map(sample => sample[name] ?? Number.NaN));
  const fit = (name: string) =>
    linearFit(measured.map(size => [size.memory_bytes / GIB, metric(size, name).median / 1000]));
  const arm = fit('arm_us');
  const goals: Goal[] = [
    {
      goal: `arming at most ${ARM_GOAL_MS} ms per GiB`,
      measured: `${arm.slope.toFixed(3)} ms`,
      reached: arm.slope <= ARM_GOAL_MS,
    },
  ];
  printReport(
    {
      bench: 'bench snap (sizes)',
      rounds: options.rounds,
      results: { sizes: measured, fits: { downtime: fit('downtime_us'), arm } },
      goals,
      tables: [sizeTable(measured, metric), fitTable({ downtime: fit('downtime_us'), arming: arm })],
      notes: ['snapshots are given up after the pause; FIRST is the first one of a guest'],
    },
    options.format,
  );
}

async function measureSize(memory_bytes: number, options: SizesOptions): Promise<Measured> {
  const subject = new TsvmmSubject(dirtyGuest(options.image, memory_bytes));
  const samples: Sample[] = [];
  try {
    await subject.restart();
    for (let round = 0; round <= options.rounds; round++) {
      options.signal.throwIfAborted();
      options.progress(`${memory_bytes / MIB} MiB, pause ${round} of ${options.rounds}`);
      samples.push(await subject.pauseOnly());
      await setTimeout(BETWEEN_MS);
    }
  } finally {
    await subject.close();
  }
  return { memory_bytes, samples };
}

const STEPS = ['kick_us', 'state_us', 'devices_us', 'arm_us', 'eager_us', 'wake_us'] as const;

const sizeTable = (
  measured: readonly Measured[],
  metric: (size: Measured, name: string) => Summary,
): BenchTable => ({
  title: 'The pause of a guest that rewrites all its memory, in ms',
  headings: ['MiB', 'DOWN', 'P99', 'FIRST', ...STEPS.map(step => step.replace('_us', '').toUpperCase())],
  rows: measured.map(size => [
    `${size.memory_bytes / MIB}`,
    show(metric(size, 'downtime_us'), 1000),
    p99(metric(size, 'downtime_us'), 1000),
    ((size.samples[0]?.downtime_us ?? Number.NaN) / 1000).toFixed(2),
    ...STEPS.map(step => show(metric(size, step), 1000)),
  ]),
});

const fitTable = (fits: Record<string, { slope: number; intercept: number }>): BenchTable => ({
  title: 'Straight lines through the medians',
  headings: ['', 'MS PER GiB', 'MS AT 0'],
  rows: Object.entries(fits).map(([name, { slope, intercept }]) => [
    name,
    slope.toFixed(3),
    intercept.toFixed(3),
  ]),
});
