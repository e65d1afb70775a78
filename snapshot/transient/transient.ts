import { availableParallelism } from 'node:os';
import { TsvmmError } from '../../vmm/errors.ts';
import type { Machine } from '../../vmm/machine.ts';
import { PAGE_SIZE } from '../../vmm/memory/address.ts';
import { ramOffsetOf } from '../../vmm/memory/layout.ts';
import { VcpuState } from '../../vmm/vcpu/control-block.ts';
import { monotonic_us } from '../../vmm/vcpu/monotonic.ts';
import { VcpuSlab } from '../../vmm/vcpu/slab.ts';
import type { CopyPool } from '../cow/copy-pool.ts';
import type { CowMechanism } from '../cow/mechanism.ts';
import { unmapGuest } from '../cow/unmap-guest.ts';
import { VmCapture } from './capture.ts';
import { PageRuns } from './page-runs.ts';

/** A disk, as the pause needs it: constant time, everything that takes longer was prepared before. */
export interface FreezableDisk {
  /** The top layer becomes read-only and an empty one takes its place. The disk's device is locked. */
  freeze(): void;
}

export interface TransientReport {
  /** Instants of CLOCK_MONOTONIC: the first vCPU was asked to stop, the last one ran again. */
  readonly suspended_us: number;
  readonly resumed_us: number;
  /** From the moment the first vCPU is asked to stop until the last one runs again. */
  readonly downtime_us: number;
  /** Until the last vCPU was out of the guest. */
  readonly kick_us: number;
  /** Until the last vCPU's state was captured, from when it was out of the guest. */
  readonly state_us: number;
  /** Locking devices, and capturing them and the chips. */
  readonly devices_us: number;
  readonly arm_us: number;
  readonly eager_us: number;
  /** From the request to run again until the last vCPU did. */
  readonly wake_us: number;
  /** The cut: when memory was frozen (CLOCK_MONOTONIC). */
  readonly cut_us: number;
}

const VCPU_TIMEOUT_MS = 5_000;
const REHEARSAL_LIMIT_MS = 2;
const STOPPED = (1 << VcpuState.STOPPED) | (1 << VcpuState.CAPTURED);
const CAPTURED = 1 << VcpuState.CAPTURED;
const ENDED = 1 << VcpuState.ENDED;
const AWAKE = (1 << VcpuState.RUNNING) | (1 << VcpuState.PARKED) | ENDED;

/** The steps of a pause, in the only order that is right. */
const steps = ['idle', 'stopped', 'locked', 'frozen', 'armed', 'captured', 'unlocked'] as const;
type Step = (typeof steps)[number];

/**
 * The transient snapshot of one VM: the only part that costs downtime. The object is made before the pause with all
 * that can be made; take() is the pause.
 */
export class TransientSnapshot {
  readonly capture: VmCapture;
  private readonly machine: Machine;
  private readonly mechanism: CowMechanism;
  private readonly pool: CopyPool;
  private readonly disks: readonly FreezableDisk[];
  private readonly eagerRuns: PageRuns;
  private readonly saveRun = (firstPage: number, pageCount: number): void =>
    this.machine.cow.saveEagerly(firstPage, pageCount);
  private step: Step = 'idle';
  /** For tests: called when all is frozen, before anything runs again. */
  whileFrozen: (() => void) | undefined;

  constructor(
    machine: Machine,
    mechanism: CowMechanism,
    pool: CopyPool,
    disks: readonly FreezableDisk[] = [],
  ) {
    this.machine = machine;
    this.mechanism = mechanism;
    this.pool = pool;
    this.disks = disks;
    this.capture = new VmCapture(machine);
    this.eagerRuns = new PageRuns(machine.slabs.length * VcpuSlab.MAXIMUM_EAGER_PAGES);
    const spins = machine.threads.length < availableParallelism();
    for (const { control } of machine.threads) control.spins = spins;
  }

  /**
   * Pauses the VM, captures it, freezes RAM and disks, and lets it run again (unless it was paused before). Blocks the
   * calling thread for the length of the pause. Throws TSVMM_E_TIMEOUT when a vCPU does not stop, TSVMM_E_GUEST_CRASH
   * when one has ended; whatever it throws, the VM runs on as if nothing had been asked. `cross` is called at the cut:
   * all is frozen, no device is unlocked yet.
   */
  take(cross: () => void = () => {}): TransientReport {
    const wasRunning = this.machine.state === 'running';
    if (wasRunning) this.rehearse();
    try {
      return this.pause(wasRunning, cross);
    } catch (error) {
      this.undo(wasRunning);
      throw error;
    }
  }

  /**
   * What was not used since the last snapshot is slow: code that is not compiled, caches and translations that hold other
   * things by now. So the vCPUs go through it once, each for itself, while everything runs.
   */
  private rehearse(): void {
    const { threads, ram } = this.machine;
    // First: a kick that meets a vCPU whose mappings have just gone waits until KVM has made some again.
    unmapGuest(ram);
    for (const thread of threads) thread.rehearse();
    this.capture.captureDevices();
    this.capture.captureChips();
    const deadline = performance.now() + REHEARSAL_LIMIT_MS;
    while (threads.some(({ control }) => control.rehearsalIsDue) && performance.now() < deadline);
  }

  private pause(wasRunning: boolean, cross: () => void): TransientReport {
    const { machine, capture } = this;
    const begin = monotonic_us();
    for (const thread of machine.threads) thread.snapshot();
    this.waitForVcpus(STOPPED);
    const stopped = monotonic_us();
    this.advance('idle', 'stopped');

    capture.lockDevices();
    this.advance('stopped', 'locked');
    capture.captureDevices();
    capture.captureChips();
    const devices = monotonic_us();
    for (const disk of this.disks) disk.freeze();
    this.advance('locked', 'frozen');

    this.mechanism.arm({
      chunkSize: this.pool.chunkSize,
      poolAddress: this.pool.address,
      slotCount: this.pool.slotCount,
    });
    const armed = monotonic_us();
    this.advance('frozen', 'armed');

    this.waitForVcpus(CAPTURED);
    const captured = monotonic_us();
    this.advance('armed', 'captured');
    this.whileFrozen?.();
    const eagerBegin = monotonic_us();
    this.saveEagerly();
    const eager = monotonic_us();

    cross();
    capture.unlockDevices();
    this.advance('captured', 'unlocked');
    this.letRun(wasRunning);
    this.waitForVcpus(AWAKE);
    this.advance('unlocked', 'idle');
    const controls = machine.threads.map(thread => thread.control);
    const resumed = wasRunning ? Math.max(...controls.map(control => control.resumed_us)) : monotonic_us();
    return {
      suspended_us: begin,
      resumed_us: resumed,
      downtime_us: resumed - begin - (eagerBegin - captured),
      kick_us: stopped - begin,
      state_us: Math.max(...controls.map(control => control.captured_us - control.stopped_us)),
      devices_us: devices - stopped,
      arm_us: armed - devices,
      eager_us: eager - eagerBegin,
      wake_us: resumed - eager,
      cut_us: armed,
    };
  }

  /** After a step failed: the way back from any of them. */
  private undo(wasRunning: boolean): void {
    if (this.machine.cow.state.armed) this.mechanism.disarm();
    if (this.step !== 'idle' && this.step !== 'stopped' && this.step !== 'unlocked')
      this.capture.unlockDevices();
    this.step = 'idle';
    this.letRun(wasRunning);
  }

  private advance(from: Step, to: Step): void {
    if (this.step !== from) {
      throw new TsvmmError(
        'TSVMM_E_INTERNAL',
        `a pause went from ${this.step} to ${to} instead of from ${from}`,
      );
    }
    this.step = to;
  }

  private waitForVcpus(states: number): void {
    for (const [id, thread] of this.machine.threads.entries()) {
      if (thread.control.waitForState(states | ENDED, VCPU_TIMEOUT_MS)) {
        if (thread.control.state !== VcpuState.ENDED || (states & ENDED) !== 0) continue;
        throw new TsvmmError('TSVMM_E_GUEST_CRASH', `vCPU ${id} of ${this.machine.config.name} has ended`, {
          hint: 'only a VM that can go on can be snapshotted',
        });
      }
      throw new TsvmmError('TSVMM_E_TIMEOUT', `vCPU ${id} of ${this.machine.config.name} did not stop`, {
        hint: 'the host is overloaded, or the VM hangs in a device; try again',
      });
    }
  }

  private letRun(run: boolean): void {
    for (const thread of this.machine.threads) {
      if (run) thread.run();
      else thread.park();
    }
  }

  /** What the vCPUs' threads have found while they were captured. */
  private saveEagerly(): void {
    const { eagerRuns } = this;
    eagerRuns.clear();
    for (const slab of this.machine.slabs)
      for (let i = 0; i < slab.eagerPageCount; i++)
        eagerRuns.add(Math.floor(ramOffsetOf(slab.eagerPage(i)) / PAGE_SIZE));
    eagerRuns.forEach(this.pool.chunkSize / PAGE_SIZE, this.saveRun);
  }
}
