import { availableParallelism } from 'node:os';
import { IoThread } from '../../vmm/io/io-thread.ts';
import type { RestoreMessage, RestoreRequest } from './restore-thread.ts';

type Thread = IoThread<RestoreRequest, unknown>;

/** What loads the memory of one VM: a part of a thread. */
export interface RestoreThread {
  request(message: RestoreMessage): Promise<unknown>;
  /** The VM needs nothing more. The thread ends with the last VM that it loads. */
  stop(): Promise<void>;
}

interface SharedThread {
  readonly thread: Thread;
  vms: number;
}

/** The others are for the guests, who wait for memory or run already. */
const MOST_THREADS = Math.ceil(availableParallelism() / 2);

/**
 * Threads that load the memory of VMs. To start one takes longer than all else of a lazy restore, so one that will be
 * needed should be started as soon as that is known, and it loads its code while others open files and build machines;
 * and the VMs of a cluster share them.
 */
export class RestoreThreads {
  private readonly threads: SharedThread[] = [];
  private nextVm = 0;

  /** Starts one for the next take(). */
  startAhead(): void {
    this.start();
  }

  /** Resolves when those that were started ahead have loaded their code. */
  async startedAhead(): Promise<void> {
    await Promise.all(this.threads.map(({ thread }) => thread.request({ vm: -1, message: 'failure' })));
  }

  /** A part of one, that is the caller's from now on, to be stopped by it. */
  take(): RestoreThread {
    const shared = this.choose();
    const vm = this.nextVm++;
    shared.vms++;
    const { thread } = shared;
    let stopping: Promise<void> | undefined;
    const stop = async () => {
      shared.vms--;
      if (shared.vms === 0) return this.end(shared);
      await thread.request({ vm, message: 'end' });
    };
    return {
      request: message => thread.request({ vm, message }),
      stop: () => {
        stopping ??= stop();
        return stopping;
      },
    };
  }

  /** Ends those that nobody took. Idempotent. */
  async close(): Promise<void> {
    const idle = this.threads.filter(({ vms }) => vms === 0);
    await Promise.all(idle.map(shared => this.end(shared).catch(() => {})));
  }

  /** The one with the fewest VMs. */
  private choose(): SharedThread {
    const [first, ...others] = this.threads;
    if (first === undefined) return this.start();
    const least = others.reduce((best, other) => (other.vms < best.vms ? other : best), first);
    return least.vms > 0 && this.threads.length < MOST_THREADS ? this.start() : least;
  }

  private start(): SharedThread {
    const shared = {
      thread: new IoThread<RestoreRequest, unknown>(import.meta.url, './restore-thread'),
      vms: 0,
    };
    this.threads.push(shared);
    return shared;
  }

  private async end(shared: SharedThread): Promise<void> {
    const index = this.threads.indexOf(shared);
    if (index >= 0) this.threads.splice(index, 1);
    await shared.thread.stop();
  }
}
