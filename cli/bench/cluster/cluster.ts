/** `tsvmm bench cluster`: how long a snapshot of the whole cluster keeps TCP waiting, by method and number of VMs. */
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SnapshotReport } from '../../../snapshot/image/report.ts';
import { ensureImage } from '../../image/ensure.ts';
import { findImage, imageStore } from '../../image/images.ts';
import { abortOnSignals } from '../../ui/abort.ts';
import { Progress } from '../../ui/progress.ts';
import { type Contestant, interleave, type Sample, type Series, summarizeAll } from '../harness.ts';
import { type BenchTable, type Goal, printReport } from '../report.ts';
import { median, type Summary } from '../statistics.ts';
import { Ring } from './ring.ts';

export interface ClusterBenchOptions {
  readonly rounds: number;
  readonly sizes: readonly number[];
  readonly memory_bytes: number;
  readonly format: 'text' | 'json';
}

const HOLD = 'hotsnap, hold';
const methods = [
  { name: HOLD, method: 'hotsnap', filter: 'hold' },
  { name: 'hotsnap, drop', method: 'hotsnap', filter: 'drop' },
  { name: 'stop-copy', method: 'stop-copy', filter: 'hold' },
  { name: 'pre-copy', method: 'pre-copy', filter: 'hold' },
] as const;

/** After a snapshot, until the next one's undisturbed span begins. */
const REST_MS = 500;
const CALM_MS = 1000;

export async function benchCluster(options: ClusterBenchOptions): Promise<void> {
  const signal = abortOnSignals();
  await ensureImage(imageStore(), findImage('bench'), { signal });
  const progress = new Progress('bench cluster');
  const bySize = new Map<number, Series>();
  try {
    for (const size of options.sizes) {
      progress.step(`${size} VMs: starting`);
      bySize.set(size, await benchSize(size, options, signal, step => progress.step(`${size} VMs: ${step}`)));
    }
  } finally {
    progress.end();
  }
  report(bySize, options);
}

async function benchSize(
  size: number,
  { rounds, memory_bytes }: ClusterBenchOptions,
  signal: AbortSignal,
  progress: (step: string) => void,
): Promise<Series> {
  const ring = new Ring(size, memory_bytes / 2 ** 20);
  try {
    await ring.started(signal);
    const contestants = methods.map(
      ({ name, method, filter }): Contestant => ({
        name,
        measure: () => measure(ring, { method, filter }, signal),
      }),
    );
    return await interleave(contestants, { rounds, signal, progress });
  } finally {
    await ring.end();
  }
}

/** One snapshot, and what the clients had to wait for answers in the time before and during it. */
async function measure(
  ring: Ring,
  { method, filter }: { readonly method: string; readonly filter: string },
  signal: AbortSignal,
): Promise<Sample> {
  await sleep(REST_MS);
  const calm_ms = Date.now();
  await sleep(CALM_MS);
  const calmEnd_ms = Date.now();
  // The report that covers this moment must not cover a part of the snapshot too.
  await ring.caughtUp(signal);
  const retransmits = ring.retransmits;
  const begun_ms = Date.now();
  const snapshot = await ring.snapshot({ name: 'bench', method, filter }, signal);
  const ended_ms = Date.now();
  // A segment that was dropped is sent again later than that.
  await sleep(REST_MS);
  await ring.caughtUp(signal);
  rmSync(snapshot.path, { recursive: true });
  return {
    backoff_us: ring.history.longestGap_us('tcp-client', begun_ms, ended_ms + REST_MS),
    normal_us: ring.history.longestGap_us('tcp-client', calm_ms, calmEnd_ms),
    retransmits: ring.retransmits - retransmits,
    ...numbersOf(snapshot),
  };
}

function numbersOf({ vms, cut_skew_us, complete_ms, frames, bytes_written }: SnapshotReport): Sample {
  const downtimes = vms.map(({ downtime_us }) => downtime_us);
  return {
    downtime_us: median(downtimes),
    downtime_us_max: Math.max(...downtimes),
    cut_skew_us,
    held: frames.held,
    dropped: frames.dropped,
    recorded: frames.recorded,
    complete_ms,
    written_mib: bytes_written / 2 ** 20,
  };
}

const show = (summary: Summary | undefined, scale = 1, digits = 1): string =>
  summary === undefined
    ? '-'
    : `${(summary.median / scale).toFixed(digits)} ±${(summary.mad / scale).toFixed(digits)}`;

type Summaries = Record<string, Record<string, Summary>>;

function report(bySize: ReadonlyMap<number, Series>, options: ClusterBenchOptions): void {
  const all = new Map<number, Summaries>(
    [...bySize].map(([size, series]) => [
      size,
      Object.fromEntries([...series.keys()].map(name => [name, summarizeAll(series, name)])),
    ]),
  );
  printReport(
    {
      bench: `bench cluster (${options.memory_bytes / 2 ** 20} MiB each)`,
      rounds: options.rounds,
      results: Object.fromEntries(all),
      goals: [...all]
        .map(([size, summaries]) => goal(size, summaries[HOLD]))
        .filter(each => each !== undefined),
      tables: [...all].map(([size, summaries]) => tableOf(size, summaries)),
      notes: [
        'back-off: the longest time in which a connection got no answer, from shortly before the snapshot until half a ' +
          'second after it, as the clients measure it; normal: the same in a second before',
        'downtime: of the VM in the middle and of the one that stood still longest',
      ],
    },
    options.format,
  );
}

const tableOf = (size: number, summaries: Summaries): BenchTable => ({
  title: `${size} VMs in a ring`,
  headings: [
    '',
    'BACK-OFF ms',
    'NORMAL ms',
    'DOWN ms',
    'DOWN MAX ms',
    'SKEW ms',
    'HELD',
    'DROPPED',
    'RECORDED',
    'SENT AGAIN',
    'COMPLETE ms',
    'MiB',
  ],
  rows: Object.entries(summaries).map(([name, metrics]) => [
    name,
    show(metrics.backoff_us, 1000),
    show(metrics.normal_us, 1000),
    show(metrics.downtime_us, 1000),
    show(metrics.downtime_us_max, 1000),
    show(metrics.cut_skew_us, 1000),
    show(metrics.held, 1, 0),
    show(metrics.dropped, 1, 0),
    show(metrics.recorded, 1, 0),
    show(metrics.retransmits, 1, 0),
    show(metrics.complete_ms, 1, 0),
    show(metrics.written_mib),
  ]),
});

function goal(size: number, metrics: Record<string, Summary> | undefined): Goal | undefined {
  const value = (name: string) => metrics?.[name]?.median ?? Number.NaN;
  const allowed_us = 2 * value('downtime_us_max') + value('normal_us');
  if (Number.isNaN(allowed_us)) return undefined;
  return {
    goal: `${size} VMs, ${HOLD}: back-off at most twice the longest downtime and the normal gap`,
    measured: `${(value('backoff_us') / 1000).toFixed(1)} ms of ${(allowed_us / 1000).toFixed(1)} ms`,
    reached: value('backoff_us') <= allowed_us,
  };
}
