/** `tsvmm bench snap`: what a snapshot of one VM under load costs, beside QEMU's ways. */
import { findTool } from '../../../guest-images/find-tool.ts';
import { MIB } from '../../../vmm/memory/address.ts';
import { ensureImage } from '../../image/ensure.ts';
import { findImage, imageStore } from '../../image/images.ts';
import { abortOnSignals } from '../../ui/abort.ts';
import { Progress } from '../../ui/progress.ts';
import { QEMU } from '../boot/microvm.ts';
import { type Contestant, interleave, type Series, summarizeAll } from '../harness.ts';
import { type BenchTable, type Goal, printReport } from '../report.ts';
import type { Summary } from '../statistics.ts';
import { column, medianOf, tableOf } from './columns.ts';
import { cowContestants, cowTable } from './cow.ts';
import { ddWrites } from './dd.ts';
import { incrementalContestants, incrementalTable, slowlyDirtyGuest } from './incremental.ts';
import type { SnapPart } from './parts.ts';
import { QemuSubject } from './qemu-subject.ts';
import { restoreContestants, restoreGoals, restoreNotes, restoreTable } from './restore.ts';
import { benchSizes } from './sizes.ts';
import { type GuestOptions, TsvmmSubject } from './tsvmm-subject.ts';
import { dirtyGuest, RESTORE_STAT_MS, restoredGuest, SPARED_BYTES } from './workload.ts';

export interface SnapBenchOptions {
  readonly rounds: number;
  readonly memory_bytes: number;
  readonly part: SnapPart;
  readonly format: 'text' | 'json';
}

const HOTSNAP = 'hotsnap, mprotect';
const USERFAULTFD = 'hotsnap, userfaultfd';
const STOP_COPY = 'stop-copy';
const BACKGROUND = 'QEMU background-snapshot';
const STOP_AND_SAVE = 'QEMU stop and save';

const DD = 'dd';
const SAVE_NOTES = [
  'saved: all is in the files; durable: on the disk too, which QEMU does not wait for',
  'lost work: writes missing until then, in milliseconds of the undisturbed rate',
];
const RATE_WINDOW_MS = 1000;

export async function benchSnap({ rounds, memory_bytes, part, format }: SnapBenchOptions): Promise<void> {
  const signal = abortOnSignals();
  const { files } = await ensureImage(imageStore(), findImage('bench'), { signal });
  const image = files.kernel;
  const progress = new Progress('bench snap');
  const step = (text: string) => progress.step(text);
  if (part === 'sizes') {
    await benchSizes({ image, largest_bytes: memory_bytes, rounds, format, signal, progress: step }).finally(
      () => progress.end(),
    );
    return;
  }
  const isIncremental = part === 'incremental';
  const options = guestOf(part)(image, memory_bytes);
  const ours = new TsvmmSubject(options);
  const qemu = isIncremental || findTool(QEMU) === undefined ? undefined : new QemuSubject(options);
  try {
    const contestants = contestantsFor(part, options, ours, qemu);
    const series = await interleave(contestants, { rounds, signal, progress: step });
    progress.end();
    report(series, { rounds, memory_bytes, part, format }, !isIncremental && qemu === undefined);
  } finally {
    progress.end();
    await ours.close();
    await qemu?.close();
  }
}

function guestOf(part: SnapPart): (image: string, memory_bytes: number) => GuestOptions {
  if (part === 'incremental') return slowlyDirtyGuest;
  return part === 'restore' ? restoredGuest : dirtyGuest;
}

function contestantsFor(
  part: SnapPart,
  options: GuestOptions,
  ours: TsvmmSubject,
  qemu: QemuSubject | undefined,
): Contestant[] {
  if (part === 'cow') return cowContestants(options);
  if (part === 'incremental') return incrementalContestants(ours);
  if (part === 'restore') return restoreContestants(ours, qemu, alone);
  return contestantsOf(part, ours, qemu);
}

/** One runs while the others stand still: two guests at full rate would take each other's processor. */
const alone = (
  name: string,
  subject: TsvmmSubject | QemuSubject,
  measure: Contestant['measure'],
): Contestant => ({
  name,
  measure: async () => {
    await subject.restart();
    try {
      return await measure();
    } finally {
      await subject.halt();
    }
  },
});

function contestantsOf(
  part: SnapBenchOptions['part'],
  ours: TsvmmSubject,
  qemu: QemuSubject | undefined,
): Contestant[] {
  const contestants: Contestant[] = [];
  const add = (...contestant: Parameters<typeof alone>) => contestants.push(alone(...contestant));
  const ourRate = () => ours.log.rate(RATE_WINDOW_MS);
  add(HOTSNAP, ours, () => ours.hotsnap('mprotect', ourRate()));
  add(USERFAULTFD, ours, () => ours.hotsnap('userfaultfd', ourRate()));
  if (part === 'work') {
    add(STOP_COPY, ours, () => ours.stopCopy(ourRate()));
    contestants.push({
      name: DD,
      measure: async () => ddWrites(ours.imageFolder, ours.memory_bytes - SPARED_BYTES),
    });
  }
  if (qemu === undefined) return contestants;
  const rate = () => qemu.log.rate(RATE_WINDOW_MS);
  add(BACKGROUND, qemu, () => qemu.backgroundSnapshot(rate()));
  if (part === 'work') add(STOP_AND_SAVE, qemu, () => qemu.stopAndSave(rate()));
  return contestants;
}

type Summaries = Record<string, Record<string, Summary>>;

function report(series: Series, options: SnapBenchOptions, withoutQemu: boolean): void {
  const all: Summaries = Object.fromEntries(
    [...series.keys()].map(name => [name, summarizeAll(series, name)]),
  );
  printReport(
    {
      bench: `bench snap (${options.part}, ${options.memory_bytes / MIB} MiB)`,
      rounds: options.rounds,
      results: all,
      goals: goalsOf(options, all),
      tables: tablesOf(options.part, all),
      notes: [
        ...(options.part === 'restore' ? restoreNotes(RESTORE_STAT_MS) : SAVE_NOTES),
        ...(all[DD] === undefined ? [] : [`stall beside ${DD}: of a busy thread that is no guest`]),
        ...(withoutQemu ? [`${QEMU} is not installed: nothing to compare with`] : []),
      ],
    },
    options.format,
  );
}

function goalsOf(options: SnapBenchOptions, all: Summaries): Goal[] {
  if (options.part === 'restore') return restoreGoals(all);
  return options.part === 'downtime' || options.part === 'work' ? goals(all, options) : [];
}

function tablesOf(part: SnapPart, all: Summaries): BenchTable[] {
  if (part === 'restore') return [restoreTable(all)];
  if (part === 'cow') return [cowTable(all)];
  if (part === 'incremental') return [incrementalTable(all)];
  return [costTable(all), stepTable(all)];
}

const costTable = (all: Summaries): BenchTable =>
  tableOf('A guest that rewrites all its memory at full rate', all, [
    column.downtime,
    column.downtimeP99,
    column.saved,
    column.durable,
    column.lostWork,
    column.gap,
    column.longestStall,
    column.longestStallP99,
    medianOf('EAGER', 'pages_eager', 1, 0),
    column.faults,
    medianOf('FALLBACKS', 'fallbacks', 1, 0),
    column.written,
  ]);

function stepTable(all: Summaries): BenchTable {
  const steps = ['kick_us', 'state_us', 'devices_us', 'arm_us', 'eager_us', 'wake_us'] as const;
  const ours = Object.entries(all).filter(([name]) => name === HOTSNAP || name === USERFAULTFD);
  return tableOf(
    'Where the downtime goes, in ms (state is captured while devices are locked and memory is armed)',
    Object.fromEntries(ours),
    [
      ...steps.map(step => medianOf(step.replace('_us', '').toUpperCase(), step, 1000)),
      medianOf('PREPARE BEFORE', 'prepare_ms', 1, 1),
    ],
  );
}

function goals(all: Summaries, { memory_bytes }: SnapBenchOptions): Goal[] {
  const ours = all[HOTSNAP] ?? {};
  const background = all[BACKGROUND];
  const found: Goal[] = [];
  const add = (goal: string, measured: number | undefined, limit: number, unit = '') => {
    if (measured === undefined || Number.isNaN(measured)) return;
    found.push({ goal, measured: `${measured.toPrecision(3)}${unit}`, reached: measured <= limit });
  };
  const gib = memory_bytes / 2 ** 30;
  add('downtime p50 below 0.8 ms', ms(ours.downtime_us?.median), 0.8, ' ms');
  add('downtime p99 below 4 ms', ms(ours.downtime_us?.p99), 4, ' ms');
  add('arming at most 0.3 ms per GiB', ms(ours.arm_us?.median, gib), 0.3, ' ms');
  add('longest stall of the guest below 1 ms, p99 of the snapshots', ms(ours.stall_us_max?.p99), 1, ' ms');
  add(
    '99 of 100 stalls below 1 ms, p99 of the snapshots',
    ours.stalls_long_percent?.p99,
    1,
    ' of 100 are not',
  );
  add(
    'on the disk in at most 1/0.7 of the time of dd',
    share(ours, all[DD], 'durable_ms'),
    1 / 0.7,
    ' of it',
  );
  add('fallbacks of the bench guest', ours.fallbacks?.p99, 0);
  add('downtime not longer than background-snapshot', share(ours, background, 'downtime_us'), 1, ' of it');
  add('lost work at most 1/20 of background-snapshot', share(ours, background, 'lost_ms'), 1 / 20, ' of it');
  add(
    'saved in at most 1/3 of the time of background-snapshot',
    share(ours, background, 'saved_ms'),
    1 / 3,
    ' of it',
  );
  add(
    'downtime 500 times shorter than stop and save',
    share(ours, all[STOP_AND_SAVE], 'downtime_us'),
    1 / 500,
    ' of it',
  );
  return found;
}

const ms = (us: number | undefined, per = 1): number | undefined =>
  us === undefined ? undefined : us / 1000 / per;

function share(
  above: Record<string, Summary>,
  below: Record<string, Summary> | undefined,
  metric: string,
): number | undefined {
  const a = above[metric]?.median;
  const b = below?.[metric]?.median;
  return a === undefined || b === undefined ? undefined : a / b;
}
