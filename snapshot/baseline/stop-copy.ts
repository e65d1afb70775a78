import type { CutReport } from '../cluster/protocol.ts';
import type { VmAttempt } from '../vm-attempt.ts';
import type { VmSnapshotter } from '../vm-snapshotter.ts';
import { HeldMachine } from './held-machine.ts';
import type { Standstill } from './standstill.ts';

/**
 * Stop and copy, which hot snapshots are compared with: the VM stands still from before its cut until all VMs of the
 * cluster are saved. Nobody runs who could write memory, so what copy-on-write is there for never happens.
 */
export class StopCopyAttempt implements VmAttempt {
  private readonly inner: VmSnapshotter;
  private readonly machine: HeldMachine;
  private readonly standstill: Standstill;

  constructor(inner: VmSnapshotter, standstill: Standstill) {
    this.inner = inner;
    this.machine = new HeldMachine(inner.machine);
    this.standstill = standstill;
    standstill.join();
  }

  async cut(cross: () => void): Promise<Omit<CutReport, 'crossed_us'>> {
    const suspended_us = await this.machine.hold();
    return { ...this.inner.cut(cross), suspended_us };
  }

  async save(): ReturnType<VmAttempt['save']> {
    const { manifest, report } = await this.inner.save();
    await this.standstill.arrive();
    return { manifest, report: { ...report, resumed_us: this.machine.letGo() } };
  }

  async abort(): Promise<void> {
    this.standstill.abandon();
    this.machine.letGo();
    await this.inner.abort();
  }
}
