import type { Contestant, Sample } from '../harness.ts';
import type { BenchTable, Goal } from '../report.ts';
import { type Metrics, medianOf, p99Of, tableOf } from './columns.ts';
import type { QemuSubject } from './qemu-subject.ts';
import { restoreCommand } from './restore-command.ts';
import type { TsvmmSubject } from './tsvmm-subject.ts';

const LAZY_GOAL_MS = 60;

type Alone = (
  name: string,
  subject: TsvmmSubject | QemuSubject,
  measure: () => Promise<Sample>,
) => Contestant;

/**
 * All go on from the snapshot that the first of their kind took last. What was saved stands still meanwhile, as if it had
 * ended, but for the one that goes on beside it.
 */
export function restoreContestants(
  ours: TsvmmSubject,
  qemu: QemuSubject | undefined,
  alone: Alone,
): Contestant[] {
  const lazy = () => ours.restore({ lazy: true, threadsAhead: true });
  const own = [
    alone('hotsnap', ours, () => ours.hotsnap('mprotect', Number.NaN)),
    { name: 'lazy', measure: lazy },
    alone('lazy, beside the original', ours, lazy),
    {
      name: 'lazy, threads start too',
      measure: () => ours.restore({ lazy: true, threadsAhead: false }),
    },
    { name: 'eager', measure: () => ours.restore({ lazy: false, threadsAhead: true }) },
    { name: 'tsvmm restore', measure: () => restoreCommand(ours.lastSnapshot) },
    { name: 'snap verify', measure: () => ours.verify() },
  ];
  if (qemu === undefined) return own;
  return [
    ...own,
    alone('QEMU stop and save', qemu, () => qemu.stopAndSave(Number.NaN)),
    { name: 'QEMU -incoming', measure: () => qemu.restore() },
  ];
}

export const restoreNotes = (stat_ms: number): string[] => [
  'lazy, eager: from the request in a process that runs, whose threads were started before or start with it; ' +
    'tsvmm restore, QEMU: from the start of their process',
  'the VM that was saved stands still meanwhile, but for what is restored beside it',
  `the guest says a line every ${stat_ms} ms: of the time to the line half of that, on the average, is its own`,
  'page-ins: chunks of 2 MiB that the guest or its devices had to wait for, until the line; ahead: loaded before they were asked for',
];

export function restoreGoals({ lazy }: Record<string, Metrics>): Goal[] {
  const total = lazy?.total_ms;
  if (total === undefined) return [];
  return [
    {
      goal: `lazily, a line within ${LAZY_GOAL_MS} ms of the request`,
      measured: `${total.median.toFixed(1)} ms`,
      reached: total.median <= LAZY_GOAL_MS,
    },
  ];
}

export function restoreTable(all: Record<string, Metrics>): BenchTable {
  const restores = Object.entries(all).filter(([, metrics]) => metrics.total_ms !== undefined);
  return tableOf('From nothing to the next line of the guest, in ms', Object.fromEntries(restores), [
    medianOf('TOTAL', 'total_ms', 1, 1),
    { heading: 'MIN', cell: ({ total_ms }) => total_ms?.minimum.toFixed(1) ?? '-' },
    p99Of('total_ms', 1, 1),
    medianOf('UNTIL RELEASE', 'load_ms', 1, 1),
    medianOf('RELEASE TO LINE', 'line_ms', 1, 1),
    medianOf('PAGE-INS', 'page_ins', 1, 0),
    medianOf('ms EACH', 'page_in_ms'),
    medianOf('AHEAD', 'chunks_ahead', 1, 0),
    medianOf('ALL THERE', 'all_there_ms', 1, 0),
  ]);
}
