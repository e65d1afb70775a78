/** `tsvmm bench net`: two guests that talk TCP, on tsvmm's switch and on QEMU with a Linux bridge. */
import { findTool } from '../../../guest-images/find-tool.ts';
import { GIB, MIB } from '../../../vmm/memory/address.ts';
import { ensureImage } from '../../image/ensure.ts';
import { findImage, imageStore } from '../../image/images.ts';
import { abortOnSignals } from '../../ui/abort.ts';
import { Progress } from '../../ui/progress.ts';
import { QEMU } from '../boot/microvm.ts';
import { type Measured, measureWindow, withGuests } from '../guests/bench-guests.ts';
import { interleaveWorks, type WorkContestant } from '../guests/interleave-works.ts';
import { ratio, type Sample, type Series, summarizeAll } from '../harness.ts';
import { type BenchTable, type Goal, printReport } from '../report.ts';
import type { Summary } from '../statistics.ts';
import { Bridge } from './bridge.ts';
import { type PairStarter, type PairWork, qemuPair, tsvmmPair } from './pairs.ts';

const TSVMM = 'tsvmm';
const WARM_UP_S = 1;
const REQUEST_GOAL = 2;
const BULK_GOAL = 1;

interface Work extends PairWork {
  readonly title: string;
  /** Who reports what counts, and as which workload. */
  readonly reporter: 'server' | 'client';
  readonly workload: string;
  readonly counter: string;
  sample(measured: Measured): Sample;
}

const server = 'tcp-server port=7';
const client = 'tcp-client peer=10.0.0.1 port=7 size=64';
const works: readonly Work[] = [
  {
    title: 'requests',
    server,
    client,
    reporter: 'client',
    workload: 'tcp-client',
    counter: 'ops',
    sample: ({ rate, seconds, cpu_us }) => ({
      requests_per_s: rate,
      round_trip_us: 1e6 / rate,
      request_cpu_us: cpu_us / (rate * seconds),
    }),
  },
  {
    title: 'parallel requests',
    server,
    client: `${client} conns=16`,
    reporter: 'client',
    workload: 'tcp-client',
    counter: 'ops',
    sample: ({ rate }) => ({ parallel_requests_per_s: rate }),
  },
  {
    title: 'bulk',
    server: 'stream-server port=7',
    client: 'stream-client peer=10.0.0.1 port=7',
    reporter: 'server',
    workload: 'stream-server',
    counter: 'bytes',
    sample: ({ rate, seconds, cpu_us }) => ({
      bulk_mib_per_s: rate / MIB,
      bulk_cpu_ms_per_gib: cpu_us / 1000 / ((rate * seconds) / GIB),
    }),
  },
];

export interface NetBenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly format: 'text' | 'json';
}

export async function benchNet({ rounds, seconds, format }: NetBenchOptions): Promise<void> {
  const signal = abortOnSignals();
  const { files } = await ensureImage(imageStore(), findImage('bench'), { signal });
  const path = files.kernel;
  const obstacle = comparisonObstacle();
  const bridge = obstacle === undefined ? new Bridge() : undefined;
  const progress = new Progress('bench net');
  try {
    const contestants = [
      contestant(TSVMM, tsvmmPair, seconds, signal),
      ...(bridge === undefined ? [] : [contestant(QEMU_PAIR, qemuPair(path, bridge), seconds, signal)]),
    ];
    const series = await interleaveWorks(contestants, works, {
      rounds,
      signal,
      progress: step => progress.step(step),
    });
    progress.end();
    report(series, rounds, format, obstacle === undefined ? [] : [`nothing to compare with: ${obstacle}`]);
  } finally {
    progress.end();
    bridge?.remove();
  }
}

const QEMU_PAIR = 'QEMU, bridge';

function comparisonObstacle(): string | undefined {
  const missing = [QEMU, 'ip'].find(tool => findTool(tool) === undefined);
  if (missing !== undefined) return `${missing} is not installed`;
  return process.getuid?.() === 0 ? undefined : 'a bridge in a network namespace needs root';
}

const contestant = (
  name: string,
  start: PairStarter,
  seconds: number,
  signal: AbortSignal,
): WorkContestant<Work> => ({
  name,
  measure: async work => {
    const { reporter, workload, counter } = work;
    const window = { vm: reporter, workload, counter, warmUp_s: WARM_UP_S, seconds };
    return work.sample(await withGuests(start(work), signal, guests => measureWindow(guests, window)));
  },
});

const rows: readonly (readonly [metric: string, what: string])[] = [
  ['requests_per_s', 'requests of 64 bytes, one after the other, /s'],
  ['round_trip_us', 'from a request to its answer, us'],
  ['request_cpu_us', 'processor time for each, guests included, us'],
  ['parallel_requests_per_s', 'the same on 16 connections, /s'],
  ['bulk_mib_per_s', 'one stream, MiB/s'],
  ['bulk_cpu_ms_per_gib', 'processor time for a GiB, guests included, ms'],
];

function report(series: Series, rounds: number, format: 'text' | 'json', notes: readonly string[]): void {
  const all = Object.fromEntries([...series.keys()].map(name => [name, summarizeAll(series, name)]));
  const ratios = Object.fromEntries(
    rows.map(([metric]) => [metric, ratio(series, metric, TSVMM, QEMU_PAIR)]),
  );
  const goals = [
    goal('requests, one after the other', REQUEST_GOAL, ratios.requests_per_s),
    goal('bulk throughput', BULK_GOAL, ratios.bulk_mib_per_s),
  ].filter(each => each !== undefined);
  const table: BenchTable = {
    title: 'Two guests that talk TCP',
    headings: ['', ...Object.keys(all), 'tsvmm / QEMU'],
    rows: rows.map(([metric, what]) => [
      what,
      ...Object.values(all).map(metrics => spread(metrics[metric], 0)),
      spread(ratios[metric], 2),
    ]),
  };
  printReport(
    {
      bench: 'bench net',
      rounds,
      results: { contestants: all, tsvmm_to_qemu: ratios },
      goals,
      tables: [table],
      notes,
    },
    format,
  );
}

function goal(what: string, wanted: number, measured: Summary | undefined): Goal | undefined {
  if (measured === undefined) return undefined;
  return {
    goal: `${what}: at least ${wanted} times QEMU's`,
    measured: `${spread(measured, 2)} times`,
    reached: measured.median >= wanted,
  };
}

const spread = (summary: Summary | undefined, digits: number): string =>
  summary === undefined ? '-' : `${summary.median.toFixed(digits)} ±${summary.mad.toFixed(digits)}`;
