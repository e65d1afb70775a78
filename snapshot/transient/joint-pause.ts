import { type Pause, pauseTogether } from './pause-together.ts';
import type { TransientReport } from './transient.ts';

interface Waiting extends Pause {
  readonly resolve: (report: TransientReport) => void;
  readonly reject: (reason: unknown) => void;
}

/** Where the VMs of one snapshot meet: pauses that are asked for in one turn of the event loop are made together. */
export class JointPause {
  private waiting: Waiting[] = [];

  /** The pause begins when the present turn is over. Rejects with what the steps of `pause.transient` throw. */
  take(pause: Pause): Promise<TransientReport> {
    return new Promise((resolve, reject) => {
      if (this.waiting.length === 0) queueMicrotask(() => this.run());
      this.waiting.push({ ...pause, resolve, reject });
    });
  }

  private run(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const [index, outcome] of pauseTogether(waiting).entries()) {
      const { resolve, reject } = waiting[index] as Waiting;
      if (outcome.status === 'fulfilled') resolve(outcome.value);
      else reject(outcome.reason);
    }
  }
}
