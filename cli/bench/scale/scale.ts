/** `tsvmm bench scale`: many idle guests in one process. */
import { findTool } from '../../../guest-images/find-tool.ts';
import { ensureImage } from '../../image/ensure.ts';
import { findImage, imageStore } from '../../image/images.ts';
import { abortOnSignals } from '../../ui/abort.ts';
import { Progress } from '../../ui/progress.ts';
import { QEMU } from '../boot/microvm.ts';
import { type Contestant, interleave, type Sample, type Series, summarizeAll, valuesOf } from '../harness.ts';
import { type BenchTable, type Goal, printReport } from '../report.ts';
import { type Summary, summarize } from '../statistics.ts';
import { type IdleStarter, measureIdle, qemuGuests, tsvmmGuests } from './idle-guests.ts';

const MEMORY_GOAL_MIB = 12;
const IDLE_GOAL_PERCENT = 2;

export interface ScaleBenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly vms: number;
  readonly format: 'text' | 'json';
}

export async function benchScale({ rounds, seconds, vms, format }: ScaleBenchOptions): Promise<void> {
  const signal = abortOnSignals();
  const { files } = await ensureImage(imageStore(), findImage('bench'), { signal });
  const hasQemu = findTool(QEMU) !== undefined;
  const contestant = (name: string, start: IdleStarter, count: number): Contestant => ({
    name,
    measure: () => measureIdle(start, count, { seconds, signal }),
  });
  const many = `tsvmm, ${vms} VMs`;
  const contestants = [
    contestant(many, tsvmmGuests, vms),
    contestant(ONE, tsvmmGuests, 1),
    ...(hasQemu ? [contestant(`QEMU, ${vms} processes`, qemuGuests(files.kernel), vms)] : []),
  ];
  const progress = new Progress('bench scale');
  try {
    const series = await interleave(contestants, { rounds, signal, progress: step => progress.step(step) });
    progress.end();
    report(series, { many, vms, rounds, format, hasQemu });
  } finally {
    progress.end();
  }
}

const ONE = 'tsvmm, 1 VM';

interface ReportOptions {
  /** Name of the contestant with all VMs. */
  readonly many: string;
  readonly vms: number;
  readonly rounds: number;
  readonly format: 'text' | 'json';
  readonly hasQemu: boolean;
}

function report(series: Series, { many, vms, rounds, format, hasQemu }: ReportOptions): void {
  const all = Object.fromEntries([...series.keys()].map(name => [name, summarizeAll(series, name)]));
  const further = vms > 1 ? furtherVm(series, many, vms) : undefined;
  const idle = all[many]?.idle_cpu_percent;
  const goals: Goal[] = [
    ...(further === undefined
      ? []
      : [
          {
            goal: `memory beyond guest RAM for each further VM: at most ${MEMORY_GOAL_MIB} MiB`,
            measured: `${spread(further)} MiB`,
            reached: further.median <= MEMORY_GOAL_MIB,
          },
        ]),
    ...(idle === undefined
      ? []
      : [
          {
            goal: `${vms} idle VMs need less than ${IDLE_GOAL_PERCENT} % of a core`,
            measured: `${spread(idle, 2)} %`,
            reached: idle.median < IDLE_GOAL_PERCENT,
          },
        ]),
  ];
  const notes = [
    'RESIDENT and PRIVATE are without guest RAM, of all processes together; RESIDENT counts what processes share in each.',
    ...(hasQemu ? [] : [`${QEMU} is not installed: nothing to compare with`]),
  ];
  printReport(
    {
      bench: 'bench scale',
      rounds,
      results: { contestants: all, further_vm_mib: further },
      goals,
      tables: [table(all)],
      notes,
    },
    format,
  );
}

/** What a VM adds to a process that has one already, round by round. */
function furtherVm(series: Series, many: string, vms: number): Summary {
  const one = valuesOf(series, ONE, 'overhead_mib');
  return summarize(
    valuesOf(series, many, 'overhead_mib').map((mib, round) => (mib - (one[round] as number)) / (vms - 1)),
  );
}

const columns: readonly {
  readonly heading: string;
  readonly metric: keyof Sample;
  readonly digits: number;
}[] = [
  { heading: 'ALL READY ms', metric: 'ready_ms', digits: 0 },
  { heading: 'RESIDENT MiB', metric: 'overhead_mib', digits: 1 },
  { heading: 'PRIVATE MiB', metric: 'private_mib', digits: 1 },
  { heading: 'IDLE CPU %', metric: 'idle_cpu_percent', digits: 2 },
  { heading: 'WAKE-UPS /s', metric: 'wakeups_per_s', digits: 0 },
  { heading: 'THREADS', metric: 'thread_count', digits: 0 },
];

const table = (all: Record<string, Record<string, Summary>>): BenchTable => ({
  title: 'From the start of the command to the last ready line; then idling',
  headings: ['', ...columns.map(({ heading }) => heading)],
  rows: Object.entries(all).map(([name, metrics]) => [
    name,
    ...columns.map(({ metric, digits }) => spread(metrics[metric], digits)),
  ]),
});

const spread = (summary: Summary | undefined, digits = 1): string =>
  summary === undefined ? '-' : `${summary.median.toFixed(digits)} ±${summary.mad.toFixed(digits)}`;
