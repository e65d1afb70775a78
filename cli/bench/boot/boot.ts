/** `tsvmm bench boot`: how long until a guest runs, and what it costs beside its memory. */
import { findTool } from '../../../guest-images/find-tool.ts';
import { ensureImage } from '../../image/ensure.ts';
import { findImage, imageStore } from '../../image/images.ts';
import { abortOnSignals } from '../../ui/abort.ts';
import { Progress } from '../../ui/progress.ts';
import { type Contestant, interleave, ratio, type Series, summarizeAll } from '../harness.ts';
import { type BenchTable, type Goal, printReport } from '../report.ts';
import type { Summary } from '../statistics.ts';
import { MICROVM, Microvm, QEMU } from './microvm.ts';
import { ControlProcess } from './second-vm.ts';
import { STEP_PREFIX, WHOLE_COMMAND, WholeCommand } from './whole-command.ts';

const WARM = 'second VM';
const COLD = 'second VM, new thread';
const WHOLE_COMMAND_GOAL_MS = 250;

export interface BootBenchOptions {
  readonly rounds: number;
  readonly memory_bytes: number;
  readonly format: 'text' | 'json';
}

export async function benchBoot({ rounds, memory_bytes, format }: BootBenchOptions): Promise<void> {
  const signal = abortOnSignals();
  const { files } = await ensureImage(imageStore(), findImage('bench'), { signal });
  const path = files.kernel;
  const hasQemu = findTool(QEMU) !== undefined;
  const whole = new WholeCommand(memory_bytes);
  const control = new ControlProcess(path, memory_bytes);
  const progress = new Progress('bench boot');
  try {
    await control.start();
    const contestants: Contestant[] = [
      whole,
      control.contestant(WARM, { threadAhead: true }),
      control.contestant(COLD, { threadAhead: false }),
      ...(hasQemu ? [new Microvm(path, memory_bytes)] : []),
    ];
    const series = await interleave(contestants, { rounds, signal, progress: step => progress.step(step) });
    progress.end();
    report(series, rounds, format, hasQemu ? [] : [`${QEMU} is not installed: nothing to compare with`]);
  } finally {
    progress.end();
    await control.close();
    whole.close();
  }
}

function report(series: Series, rounds: number, format: 'text' | 'json', notes: readonly string[]): void {
  const all = Object.fromEntries([...series.keys()].map(name => [name, summarizeAll(series, name)]));
  const toMicrovm = Object.fromEntries(
    [...series.keys()].map(name => [name, ratio(series, 'ready_ms', name, MICROVM)]),
  );
  printReport(
    {
      bench: 'bench boot',
      rounds,
      results: { contestants: all, ready_to_microvm: toMicrovm },
      goals: goals(all, toMicrovm),
      tables: [contestantTable(all, toMicrovm), stepTable(all[WHOLE_COMMAND] ?? {})],
      notes,
    },
    format,
  );
}

type Summaries = Record<string, Record<string, Summary>>;
type Ratios = Record<string, Summary | undefined>;

const spread = (summary: Summary | undefined, digits = 1): string =>
  summary === undefined ? '-' : `${summary.median.toFixed(digits)} ±${summary.mad.toFixed(digits)}`;

function contestantTable(all: Summaries, toMicrovm: Ratios): BenchTable {
  return {
    title:
      'From the start (of the process, or of creating the VM) to the ready line; memory beyond guest RAM',
    headings: ['', 'READY ms', 'MIN ms', 'CREATE ms', 'GUEST ms', '/ MICROVM', 'RESIDENT MiB', 'PRIVATE MiB'],
    rows: Object.entries(all).map(([name, metrics]) => [
      name,
      spread(metrics.ready_ms),
      metrics.ready_ms?.minimum.toFixed(1) ?? '-',
      spread(metrics.create_ms),
      spread(metrics.guest_ms),
      spread(toMicrovm[name], 2),
      spread(metrics.overhead_mib),
      spread(metrics.private_mib),
    ]),
  };
}

function stepTable(metrics: Record<string, Summary>): BenchTable {
  const steps = Object.entries(metrics).filter(([name]) => name.startsWith(STEP_PREFIX));
  return {
    title: `Where the time of "${WHOLE_COMMAND}" goes`,
    headings: ['STEP', 'ms', 'MIN ms'],
    rows: steps.map(([name, summary]) => [
      name.slice(STEP_PREFIX.length),
      spread(summary),
      summary.minimum.toFixed(1),
    ]),
  };
}

function goals(all: Summaries, toMicrovm: Ratios): Goal[] {
  const whole = all[WHOLE_COMMAND]?.ready_ms;
  const second = toMicrovm[WARM];
  return [
    ...(whole === undefined
      ? []
      : [
          {
            goal: `the whole command is ready within ${WHOLE_COMMAND_GOAL_MS} ms`,
            measured: `${spread(whole)} ms`,
            reached: whole.median <= WHOLE_COMMAND_GOAL_MS,
          },
        ]),
    ...(second === undefined
      ? []
      : [
          {
            goal: 'a second VM from a running control process is not slower than QEMU microvm',
            measured: `${spread(second, 2)} of its time`,
            reached: second.median <= 1,
          },
        ]),
  ];
}
