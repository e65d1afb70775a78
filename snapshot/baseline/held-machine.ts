import type { Machine } from '../../vmm/machine.ts';
import { VcpuState } from '../../vmm/vcpu/control-block.ts';
import { monotonic_us } from '../../vmm/vcpu/monotonic.ts';

const WAKE_TIMEOUT_MS = 5_000;
const AWAKE = (1 << VcpuState.RUNNING) | (1 << VcpuState.ENDED);

/** A machine that stands still for longer than a cut, and goes on afterwards if it was running before. */
export class HeldMachine {
  private readonly machine: Machine;
  private isHeld = false;
  private suspended_us = 0;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  /** Resolves when no vCPU runs, with the moment in which they were asked to stop. */
  async hold(): Promise<number> {
    this.suspended_us = monotonic_us();
    this.isHeld = this.machine.state === 'running';
    await this.machine.pause();
    return this.suspended_us;
  }

  /** Answers the moment in which the last vCPU ran again. Idempotent. */
  letGo(): number {
    if (this.isHeld) {
      this.isHeld = false;
      this.machine.resume();
      for (const { control } of this.machine.threads) control.waitForState(AWAKE, WAKE_TIMEOUT_MS);
    }
    return monotonic_us();
  }
}
