import { IoThread } from '../../vmm/io/io-thread.ts';
import type { RestoreMessage } from './restore-thread.ts';

/** A thread that loads the memory of one VM. */
export type RestoreThread = IoThread<RestoreMessage, unknown>;

/**
 * Threads that load memory. To start one takes longer than all else of a lazy restore, so one that will be needed should
 * be started as soon as that is known, and it loads its code while others open files and build machines.
 */
export class RestoreThreads {
  private readonly idle: RestoreThread[] = [];

  /** Starts one for the next take(). */
  startAhead(): void {
    this.idle.push(startRestoreThread());
  }

  /** Resolves when those that were started ahead have loaded their code. */
  async startedAhead(): Promise<void> {
    await Promise.all(this.idle.map(thread => thread.request('failure')));
  }

  /** One that is the caller's from now on, to be stopped by it. */
  take(): RestoreThread {
    return this.idle.shift() ?? startRestoreThread();
  }

  /** Ends those that nobody took. Idempotent. */
  async close(): Promise<void> {
    await Promise.all(this.idle.splice(0).map(thread => thread.stop().catch(() => {})));
  }
}

const startRestoreThread = (): RestoreThread => new IoThread(import.meta.url, './restore-thread');
