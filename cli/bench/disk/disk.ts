/** `tsvmm bench disk`: a guest that reads and writes a disk, beside QEMU with raw and with qcow2 files. */
import { findTool } from '../../../guest-images/find-tool.ts';
import { ensureImage } from '../../image/ensure.ts';
import { findImage, imageStore } from '../../image/images.ts';
import { abortOnSignals } from '../../ui/abort.ts';
import { Progress } from '../../ui/progress.ts';
import { QEMU } from '../boot/microvm.ts';
import { interleaveWorks, type WorkContestant } from '../guests/interleave-works.ts';
import { failure } from '../guests/report-log.ts';
import { ratio, type Series, summarizeAll } from '../harness.ts';
import { type BenchTable, type Goal, printReport } from '../report.ts';
import type { Summary } from '../statistics.ts';
import { BenchFolder } from './bench-folder.ts';
import type { DiskStarter } from './disk-guests.ts';
import { qemuDisk } from './qemu-disk.ts';
import { tsvmmDisk } from './tsvmm-disk.ts';
import { type DiskWork, measureWork, type WorkName, works } from './works.ts';

const SNAPSHOTS = 8;
const TSVMM = 'tsvmm';
const RAW = 'QEMU raw';
const TSVMM_LAYERS = `tsvmm, ${SNAPSHOTS} snapshots`;
const QCOW2 = `qcow2, ${SNAPSHOTS} snapshots`;
const CHAIN = `qcow2, chain of ${SNAPSHOTS + 1}`;
const RAW_GOAL = 1;
const QCOW2_GOAL = 1.5;

export interface DiskBenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** One of them, or all. */
  readonly work: WorkName | 'all';
  readonly format: 'text' | 'json';
}

export async function benchDisk({ rounds, seconds, work, format }: DiskBenchOptions): Promise<void> {
  const chosen = works.filter(({ name }) => work === 'all' || name === work);
  const signal = abortOnSignals();
  const { files } = await ensureImage(imageStore(), findImage('bench'), { signal });
  const path = files.kernel;
  const missing = [QEMU, 'qemu-img'].find(tool => findTool(tool) === undefined);
  const folder = await BenchFolder.create(missing === undefined, signal);
  const progress = new Progress('bench disk');
  try {
    const contestant = (name: string, start: DiskStarter, snapshots = 0): WorkContestant<DiskWork> => ({
      name,
      measure: async work => {
        try {
          return await measureWork(work, start, { snapshots, seconds, signal });
        } catch (error) {
          signal.throwIfAborted();
          throw failure(`${name}, ${work.title}: the measurement failed`, error);
        }
      },
    });
    const tsvmm = tsvmmDisk(folder, `bench-disk-${process.pid}`);
    const contestants = [
      contestant(TSVMM, tsvmm),
      contestant(TSVMM_LAYERS, tsvmm, SNAPSHOTS),
      ...(missing === undefined
        ? [
            contestant(RAW, qemuDisk(folder, path, 'raw')),
            contestant(QCOW2, qemuDisk(folder, path, 'qcow2'), SNAPSHOTS),
            contestant(CHAIN, qemuDisk(folder, path, 'chain'), SNAPSHOTS),
          ]
        : []),
    ];
    const series = await interleaveWorks(contestants, chosen, {
      rounds,
      signal,
      progress: step => progress.step(step),
    });
    progress.end();
    const notes = missing === undefined ? [] : [`nothing to compare with: ${missing} is not installed`];
    report(series, chosen, rounds, format, notes);
  } finally {
    progress.end();
    folder.remove();
  }
}

const comparisons = [
  { name: 'raw', of: TSVMM, to: RAW, goal: RAW_GOAL },
  { name: 'qcow2', of: TSVMM_LAYERS, to: QCOW2, goal: QCOW2_GOAL },
  { name: 'chain', of: TSVMM_LAYERS, to: CHAIN, goal: QCOW2_GOAL },
];

function report(
  series: Series,
  works: readonly DiskWork[],
  rounds: number,
  format: 'text' | 'json',
  notes: readonly string[],
): void {
  const all = Object.fromEntries([...series.keys()].map(name => [name, summarizeAll(series, name)]));
  const ratios = Object.fromEntries(
    comparisons.map(({ name, of, to }) => [
      name,
      Object.fromEntries(works.map(({ metric }) => [metric, ratio(series, metric, of, to)])),
    ]),
  );
  const rates: BenchTable = {
    title: 'What the guest gets done',
    headings: ['', ...Object.keys(all)],
    rows: works.map(({ metric, title, unit }) => [
      `${title}, ${unit}`,
      ...Object.values(all).map(metrics => spread(metrics[metric], 0)),
    ]),
  };
  const ratioTable: BenchTable = {
    title: 'Ratios',
    headings: ['', ...comparisons.map(({ of, to }) => `${of} / ${to}`)],
    rows: works.map(({ metric, title }) => [
      title,
      ...comparisons.map(({ name }) => spread(ratios[name]?.[metric], 2)),
    ]),
  };
  const goals = comparisons.flatMap(({ name, to, goal }) =>
    works.flatMap(({ metric, title }) =>
      goalOf(`${title}: at least ${goal} times ${to}`, goal, ratios[name]?.[metric]),
    ),
  );
  printReport(
    {
      bench: 'bench disk',
      rounds,
      results: { contestants: all, ratios },
      goals,
      tables: [rates, ratioTable],
      notes,
    },
    format,
  );
}

const goalOf = (goal: string, wanted: number, measured: Summary | undefined): Goal[] =>
  measured === undefined
    ? []
    : [{ goal, measured: `${spread(measured, 2)} times`, reached: measured.median >= wanted }];

const spread = (summary: Summary | undefined, digits: number): string =>
  summary === undefined ? '-' : `${summary.median.toFixed(digits)} ±${summary.mad.toFixed(digits)}`;
