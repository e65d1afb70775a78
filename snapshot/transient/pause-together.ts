import { availableParallelism } from 'node:os';
import type { TransientReport, TransientSnapshot } from './transient.ts';

/** One VM's part: its snapshot, and what is to be done at its cut (see TransientSnapshot.freeze()). */
export interface Pause {
  readonly transient: Pick<
    TransientSnapshot,
    | 'threadCount'
    | 'rehearse'
    | 'waitForRehearsal'
    | 'makeConsoleRoom'
    | 'stop'
    | 'progress'
    | 'isOverdue'
    | 'awaitStop'
    | 'freeze'
    | 'finish'
  >;
  readonly cross: () => void;
}

export type PauseOutcome = PromiseSettledResult<TransientReport>;

/** For each VM, and for each VM more, as their vCPUs may have to share the processors. */
const REHEARSAL_LIMIT_MS = 2;
const REHEARSAL_LIMIT_EACH_MS = 0.5;
/** Between two looks at who else has stopped, while the one that is waited for has not. */
const LOOK_MS = 0.2;

/**
 * The pauses of several VMs, overlapping: all are asked to stop at once, and whoever has stopped is frozen and let go, one
 * after the other. So the processors belong to those who stop and freeze, not to guests that wait for their turn, and a
 * VM's peers stand still while it does. Blocks the calling thread. One VM's failure is no other's: its outcome tells, in
 * the order of `pauses`.
 */
export function pauseTogether(pauses: readonly Pause[]): PauseOutcome[] {
  const errors = new Map<Pause, unknown>();
  /** `step` for each of `some` that has not failed. */
  const each = (some: readonly Pause[], step: (pause: Pause) => void) => {
    for (const pause of some) {
      try {
        if (!errors.has(pause)) step(pause);
      } catch (error) {
        errors.set(pause, error);
      }
    }
  };

  const threads = pauses.reduce((sum, { transient }) => sum + transient.threadCount, 0);
  // One processor is this thread's own. Faults after the pause keep peers waiting, which a VM alone has none of.
  const terms = { spins: threads + 1 <= availableParallelism(), copiesHotPages: pauses.length > 1 };
  each(pauses, ({ transient }) => transient.rehearse(terms));
  const deadline_ms = performance.now() + REHEARSAL_LIMIT_MS + REHEARSAL_LIMIT_EACH_MS * (pauses.length - 1);
  pauses.every(({ transient }) => transient.waitForRehearsal(deadline_ms));

  each(pauses, ({ transient }) => transient.makeConsoleRoom());
  each(pauses, ({ transient }) => transient.stop());
  const waiting = new Set(pauses.filter(pause => !errors.has(pause)));
  while (waiting.size > 0) {
    const next = untilOneIsReady(waiting);
    waiting.delete(next);
    each([next], ({ transient, cross }) => transient.freeze(cross));
  }

  const reports = new Map<Pause, TransientReport>();
  each(pauses, pause => reports.set(pause, pause.transient.finish()));
  return pauses.map(pause => {
    const value = reports.get(pause);
    return value === undefined
      ? { status: 'rejected', reason: errors.get(pause) }
      : { status: 'fulfilled', value };
  });
}

/** The pause of a VM alone. Throws what its steps throw. */
export function pauseAlone(pause: Pause): TransientReport {
  const [outcome] = pauseTogether([pause]);
  if (outcome?.status !== 'fulfilled') throw outcome?.reason;
  return outcome.value;
}

/** Who keeps this thread waiting least. At least one of them stops or is overdue some time. */
function untilOneIsReady(pauses: ReadonlySet<Pause>): Pause {
  for (;;) {
    const ready = readiest(pauses);
    if (ready !== undefined) return ready;
    const [first] = pauses;
    first?.transient.awaitStop(LOOK_MS);
  }
}

/** Undefined when everybody still runs. */
function readiest(pauses: Iterable<Pause>): Pause | undefined {
  let stopped: Pause | undefined;
  for (const pause of pauses) {
    const { transient } = pause;
    const { progress } = transient;
    if (progress === 'captured' || transient.isOverdue) return pause;
    if (progress === 'stopped') stopped ??= pause;
  }
  return stopped;
}
