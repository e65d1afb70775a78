import { RestoreThreads } from '../../snapshot/restore/restore-threads.ts';
import { VcpuHandle } from '../../vmm/vcpu/vcpu-handle.ts';

/**
 * Threads that every cluster needs, started before there is anything for them to do. They take longer to load their code
 * than all else that comes before the first guest runs, so this module should itself load little.
 */
export class ThreadsAhead {
  /** Threads that load memory of restored VMs: one, if there will be any. */
  readonly restore = new RestoreThreads();
  private readonly vcpus = [new VcpuHandle()];

  constructor({ restoring = false } = {}) {
    if (restoring) this.restore.startAhead();
  }

  /** At most `count` threads for vCPUs, which are the caller's from now on. */
  takeVcpus(count: number): VcpuHandle[] {
    return this.vcpus.splice(0, count);
  }

  /** Ends those that nobody took. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([
      ...this.takeVcpus(this.vcpus.length).map(thread => thread.end()),
      this.restore.close(),
    ]);
  }
}
