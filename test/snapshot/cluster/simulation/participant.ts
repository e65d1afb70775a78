import type { Input, VmName } from '../../../../snapshot/cluster/protocol.ts';
import type { SerializedError } from '../../../../vmm/errors.ts';
import type { EventQueue } from './events.ts';
import type { Random } from './random.ts';
import type { Fault, Scenario } from './scenario.ts';
import type { VmState } from './vm.ts';

/** What a VM's snapshotter needs of the world around it. */
export interface ParticipantWorld {
  readonly events: EventQueue;
  readonly random: Random;
  readonly scenario: Scenario;
  has(fault: Fault['kind'], epoch: number, vm: number): boolean;
  /** The vCPUs stop, and the NICs' locks are taken. */
  pause(vm: number): void;
  /** The instant of the cut: the state as it is now belongs to `epoch`. */
  cross(vm: number, epoch: number): void;
  resume(vm: number): void;
  reply(input: Input): void;
}

type Step = 'preparing' | 'ready' | 'cutting' | 'saving' | 'saved';

const failure: SerializedError = { code: 'TSVMM_E_INTERNAL', message: 'simulated', causes: [] };
const noSave = {
  pages_total: 0,
  pages_zero: 0,
  pages_eager: 0,
  pages_active: 0,
  cow_faults: 0,
  vmm_write_saves: 0,
  fallbacks: 0,
  memory_bytes: 0,
  disk_bytes: 0,
};

/** A model of one VM's snapshotter, with commands that come late, twice, or after everything is over. */
export class Participant {
  readonly vm: number;
  readonly name: VmName;
  readonly state: VmState;
  isAlive = true;
  isPaused = false;
  private epoch = 0;
  private step: Step | undefined;
  private readonly world: ParticipantWorld;

  constructor(vm: number, state: VmState, world: ParticipantWorld) {
    this.vm = vm;
    this.name = `vm${vm}`;
    this.state = state;
    this.world = world;
  }

  /** Nothing of an attempt that failed is left in it. */
  get isAtRest(): boolean {
    return !this.isPaused && (this.step === undefined || this.step === 'saved');
  }

  prepare(epoch: number): void {
    if (epoch <= this.epoch) return;
    this.epoch = epoch;
    this.step = 'preparing';
    this.later(2_000, epoch, 'preparing', () => {
      if (this.world.has('prepare-fails', epoch, this.vm)) return this.fail(epoch);
      this.step = 'ready';
      this.world.reply({ kind: 'vm-ready', epoch, vm: this.name });
    });
  }

  cut(epoch: number): void {
    if (epoch !== this.epoch || this.step !== 'ready') return;
    this.step = 'cutting';
    if (this.world.has('cut-hangs', epoch, this.vm)) return;
    const { pause_us } = this.world.scenario;
    this.later(pause_us, epoch, 'cutting', () => {
      const suspended_us = this.world.events.now_us;
      this.world.pause(this.vm);
      this.isPaused = true;
      this.inPause(epoch, () => {
        this.world.cross(this.vm, epoch);
        const crossed_us = this.world.events.now_us;
        this.inPause(epoch, () => this.finishCut(epoch, suspended_us, crossed_us));
      });
    });
  }

  save(epoch: number): void {
    if (epoch !== this.epoch || this.step !== 'saving') return;
    this.later(5_000, epoch, 'saving', () => {
      if (this.world.has('save-fails', epoch, this.vm)) return this.fail(epoch);
      this.step = 'saved';
      this.world.reply({ kind: 'vm-saved', epoch, vm: this.name, saved: noSave });
    });
  }

  /** A pause that has begun is gone through to its end, crossing included: as a real one is. */
  abort(epoch: number): void {
    if (epoch < this.epoch || !this.isAlive) return;
    this.epoch = epoch;
    this.step = undefined;
    if (!this.isPaused) this.world.reply({ kind: 'vm-aborted', epoch, vm: this.name });
  }

  die(): void {
    this.isAlive = false;
    this.isPaused = false;
    this.step = undefined;
  }

  private finishCut(epoch: number, suspended_us: number, crossed_us: number): void {
    this.isPaused = false;
    this.world.resume(this.vm);
    if (this.step === undefined) {
      this.world.reply({ kind: 'vm-aborted', epoch, vm: this.name });
      return;
    }
    if (this.world.has('cut-fails', epoch, this.vm)) {
      this.fail(epoch);
      return;
    }
    this.step = 'saving';
    const resumed_us = this.world.events.now_us;
    const cut = { suspended_us, crossed_us, resumed_us, kick_us: 0, state_us: 0, arm_us: 0 };
    this.world.reply({ kind: 'vm-cut', epoch, vm: this.name, cut });
  }

  private fail(epoch: number): void {
    this.world.reply({ kind: 'vm-failed', epoch, vm: this.name, failure });
  }

  private inPause(epoch: number, action: () => void): void {
    const { events, random, scenario } = this.world;
    events.after(random.between(1, scenario.pause_us), () => {
      if (this.isAlive && this.epoch === epoch) action();
    });
  }

  /** Does it within `span_us`, unless the VM dies or the attempt is over by then. */
  private later(span_us: number, epoch: number, step: Step, action: () => void): void {
    const { events, random } = this.world;
    events.after(random.between(1, span_us), () => {
      if (this.isAlive && this.epoch === epoch && this.step === step) action();
    });
  }
}
