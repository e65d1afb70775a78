import { TsvmmError } from '../../vmm/errors.ts';
import type { Machine } from '../../vmm/machine.ts';
import { PAGE_SIZE } from '../../vmm/memory/address.ts';
import { EagerPages } from '../../vmm/memory/eager-pages.ts';
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
  /** From then until the control thread began with this VM. */
  readonly turn_us: number;
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
const STOPPED = (1 << VcpuState.STOPPED) | (1 << VcpuState.CAPTURED);
const CAPTURED = 1 << VcpuState.CAPTURED;
const ENDED = 1 << VcpuState.ENDED;
const AWAKE = (1 << VcpuState.RUNNING) | (1 << VcpuState.PARKED) | ENDED;

/** The steps of a pause, in the only order that is right. */
const steps = ['idle', 'stopping', 'stopped', 'locked', 'frozen', 'armed', 'captured', 'unlocked'] as const;
type Step = (typeof steps)[number];

/** Instants of one pause. */
interface Times {
  begin: number;
  turn: number;
  devices: number;
  armed: number;
  captured: number;
  eagerBegin: number;
  eager: number;
}

/**
 * The transient snapshot of one VM: the only part that costs downtime. The object is made before the pause with all
 * that can be made. pauseTogether() leads through the pause: rehearse(), stop(), freeze(), finish(), all on the control
 * thread. In between the VM's own threads are busy, and the control thread can do as much for other VMs.
 */
export class TransientSnapshot {
  readonly capture: VmCapture;
  private readonly machine: Machine;
  private readonly mechanism: CowMechanism;
  private readonly pool: CopyPool;
  private readonly disks: readonly FreezableDisk[];
  private readonly hotPages: readonly number[];
  private copiesHotPages = false;
  private readonly eagerRuns: PageRuns;
  private readonly saveRun = (firstPage: number, pageCount: number): void =>
    this.machine.cow.saveEagerly(firstPage, pageCount);
  private step: Step = 'idle';
  private wasRunning = false;
  /** When vCPUs that have not stopped by then are not waited for any more (performance.now()). */
  private deadline_ms = 0;
  private readonly times: Times = {
    begin: 0,
    turn: 0,
    devices: 0,
    armed: 0,
    captured: 0,
    eagerBegin: 0,
    eager: 0,
  };
  /** For tests: called when all is frozen, before anything runs again. */
  whileFrozen: (() => void) | undefined;
  /** For tests: also where the pause would be too long for it. */
  alwaysCopiesHotPages = false;

  constructor(
    machine: Machine,
    mechanism: CowMechanism,
    pool: CopyPool,
    disks: readonly FreezableDisk[] = [],
    hotPages: readonly number[] = [],
  ) {
    this.machine = machine;
    this.mechanism = mechanism;
    this.pool = pool;
    this.disks = disks;
    this.capture = new VmCapture(machine);
    this.hotPages = hotPages;
    this.eagerRuns = new PageRuns(machine.slabs.length * VcpuSlab.MAXIMUM_EAGER_PAGES + hotPages.length);
  }

  /** How many threads it needs at once beside the control thread. */
  get threadCount(): number {
    return this.machine.threads.length;
  }

  /**
   * What was not used since the last snapshot is slow: code that is not compiled, caches and translations that hold other
   * things by now. So the vCPUs go through it once, each for itself, while everything runs. `spins`: whoever waits in this
   * pause may look for a while before it sleeps, as there is a processor for everybody. `copiesHotPages`: what will be
   * written soon is copied in it.
   */
  rehearse({ spins, copiesHotPages }: { spins: boolean; copiesHotPages: boolean }): void {
    this.copiesHotPages = copiesHotPages;
    const { threads, ram } = this.machine;
    for (const { control } of threads) control.spins = spins;
    if (this.machine.state !== 'running') return;
    // First: a kick that meets a vCPU whose mappings have just gone waits until KVM has made some again.
    unmapGuest(ram);
    for (const thread of threads) thread.rehearse();
    this.capture.captureDevices();
    this.capture.captureChips();
    this.makeConsoleRoom();
  }

  /** False when the vCPUs still rehearse at `deadline_ms` (performance.now()); they may be disturbed then. */
  waitForRehearsal(deadline_ms: number): boolean {
    return this.machine.threads.every(({ control }) => control.waitForRehearsal(deadline_ms));
  }

  /** Guests that print must not wait for this thread while it waits for them. For all VMs before the first stops: it takes a while. */
  makeConsoleRoom(): void {
    this.machine.makeConsoleRoom();
  }

  /** Asks the vCPUs to stop. What follows must be freeze(), soon, as they wait for it. */
  stop(): void {
    this.advance('idle', 'stopping');
    this.wasRunning = this.machine.state === 'running';
    this.times.begin = monotonic_us();
    this.deadline_ms = performance.now() + VCPU_TIMEOUT_MS;
    for (const thread of this.machine.threads) thread.snapshot();
  }

  /** Whether freeze() would wait: 'captured' not at all, 'stopped' not at once. A vCPU that has ended counts as both. */
  get progress(): 'running' | 'stopped' | 'captured' {
    const { threads } = this.machine;
    const all = (states: number) => threads.every(({ control }) => ((1 << control.state) & states) !== 0);
    if (all(CAPTURED | ENDED)) return 'captured';
    return all(STOPPED | ENDED) ? 'stopped' : 'running';
  }

  /** Waits until the vCPUs have stopped, at most for so long. */
  awaitStop(limit_ms: number): void {
    const deadline_ms = performance.now() + limit_ms;
    for (const { control } of this.machine.threads)
      if (!control.waitForState(STOPPED | ENDED, deadline_ms - performance.now())) return;
  }

  /** Whether it has waited long enough for vCPUs that do not stop: freeze() will throw. */
  get isOverdue(): boolean {
    return performance.now() > this.deadline_ms;
  }

  /**
   * Captures the VM, freezes RAM and disks, and lets it run again (unless it was paused before); finish() is due. Blocks
   * the calling thread meanwhile. Throws TSVMM_E_TIMEOUT when a vCPU does not stop, TSVMM_E_GUEST_CRASH when one has
   * ended; whatever it throws, the VM runs on as if nothing had been asked. `cross` is called at the cut: all is frozen,
   * no device is unlocked yet.
   */
  freeze(cross: () => void): void {
    this.orUndo(() => this.goThrough(cross));
  }

  /** Waits until the VM runs again. Throws as freeze() does. */
  finish(): TransientReport {
    this.orUndo(() => this.waitForVcpus(AWAKE));
    this.advance('unlocked', 'idle');
    const { begin, turn, devices, armed, captured, eagerBegin, eager } = this.times;
    const controls = this.machine.threads.map(thread => thread.control);
    const last = (time: 'stopped_us' | 'captured_us' | 'resumed_us') =>
      Math.max(...controls.map(control => control[time]));
    const stopped = last('stopped_us');
    const resumed = this.wasRunning ? last('resumed_us') : monotonic_us();
    return {
      suspended_us: begin,
      resumed_us: resumed,
      downtime_us: resumed - begin - (eagerBegin - captured),
      kick_us: stopped - begin,
      turn_us: Math.max(0, turn - stopped),
      state_us: Math.max(...controls.map(control => control.captured_us - control.stopped_us)),
      devices_us: devices - turn,
      arm_us: armed - devices,
      eager_us: eager - eagerBegin,
      wake_us: resumed - eager,
      cut_us: armed,
    };
  }

  private goThrough(cross: () => void): void {
    const { capture, times } = this;
    this.waitForVcpus(STOPPED);
    times.turn = monotonic_us();
    this.advance('stopping', 'stopped');

    capture.lockDevices();
    this.advance('stopped', 'locked');
    capture.captureDevices();
    capture.captureChips();
    times.devices = monotonic_us();
    for (const disk of this.disks) disk.freeze();
    this.advance('locked', 'frozen');

    this.mechanism.arm({
      chunkSize: this.pool.chunkSize,
      poolAddress: this.pool.address,
      slotCount: this.pool.slotCount,
    });
    times.armed = monotonic_us();
    this.advance('frozen', 'armed');

    this.waitForVcpus(CAPTURED);
    times.captured = monotonic_us();
    this.advance('armed', 'captured');
    this.whileFrozen?.();
    times.eagerBegin = monotonic_us();
    this.saveEagerly();
    times.eager = monotonic_us();

    cross();
    capture.unlockDevices();
    this.advance('captured', 'unlocked');
    this.letRun();
  }

  private orUndo(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.undo();
      throw error;
    }
  }

  /** After a step failed: the way back from any of them. */
  private undo(): void {
    if (this.machine.cow.state.armed) this.mechanism.disarm();
    if (this.step === 'locked' || this.step === 'frozen' || this.step === 'armed' || this.step === 'captured')
      this.capture.unlockDevices();
    this.step = 'idle';
    this.letRun();
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
      const left_ms = Math.max(0, this.deadline_ms - performance.now());
      if (thread.control.waitForState(states | ENDED, left_ms)) {
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

  private letRun(): void {
    for (const thread of this.machine.threads) {
      if (this.wasRunning) thread.run();
      else thread.park();
    }
  }

  /** What the vCPUs' threads have found while they were captured, and with it what will be written soon, if there is room. */
  private saveEagerly(): void {
    const { eagerRuns } = this;
    const pagesPerChunk = this.pool.chunkSize / PAGE_SIZE;
    this.collectEager();
    if (this.copiesHotPages || this.alwaysCopiesHotPages)
      for (const page of this.hotPages) eagerRuns.add(page);
    if (eagerRuns.length(pagesPerChunk) > EagerPages.MAXIMUM) this.collectEager();
    eagerRuns.forEach(pagesPerChunk, this.saveRun);
    this.machine.cow.state.eagerPages.endPause();
  }

  private collectEager(): void {
    const { eagerRuns } = this;
    eagerRuns.clear();
    for (const slab of this.machine.slabs)
      for (let i = 0; i < slab.eagerPageCount; i++)
        eagerRuns.add(Math.floor(ramOffsetOf(slab.eagerPage(i)) / PAGE_SIZE));
  }
}
