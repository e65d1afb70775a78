/** VMs that pretend to be paused, for tests of those who lead through pauses. */
import type { Pause } from '../../../snapshot/transient/pause-together.ts';
import type { TransientReport } from '../../../snapshot/transient/transient.ts';

type Step = 'rehearse' | 'make room' | 'stop' | 'freeze' | 'finish';

export interface Behaviour {
  /** How often it is looked at before it has stopped; Infinity: never. */
  readonly looks?: number;
  /** ... and then before its vCPUs have captured themselves. */
  readonly looksToCapture?: number;
  /** Which step throws Error("NAME STEP"). */
  readonly fails?: Step;
  /** How often it is looked at before it is overdue. */
  readonly patience?: number;
  readonly rehearses?: boolean;
}

const nothing = {
  suspended_us: 0,
  resumed_us: 0,
  kick_us: 0,
  turn_us: 0,
  state_us: 0,
  devices_us: 0,
  arm_us: 0,
  eager_us: 0,
  wake_us: 0,
  cut_us: 0,
};

/** Appends "NAME STEP" to `log` for each step that is made; its report tells its number in `downtime_us`. */
export function fakePause(log: string[], name: string, number: number, behaviour: Behaviour = {}): Pause {
  const { looks = 0, looksToCapture = 0, fails, patience = Number.POSITIVE_INFINITY, rehearses } = behaviour;
  let looked = 0;
  const go = (step: Step) => {
    log.push(`${name} ${step}`);
    if (step === fails) throw new Error(`${name} ${step}`);
  };
  return {
    cross: () => log.push(`${name} cross`),
    transient: {
      threadCount: 1,
      rehearse: () => go('rehearse'),
      waitForRehearsal: () => rehearses !== true,
      makeConsoleRoom: () => go('make room'),
      stop: () => go('stop'),
      get progress() {
        looked++;
        if (looked <= looks) return 'running';
        return looked <= looks + looksToCapture ? 'stopped' : 'captured';
      },
      get isOverdue() {
        return looked > patience;
      },
      awaitStop: () => {},
      freeze: cross => {
        go('freeze');
        cross();
      },
      finish: (): TransientReport => {
        go('finish');
        return { ...nothing, downtime_us: number };
      },
    },
  };
}
