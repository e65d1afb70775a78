import { amongPorts, type ChannelState } from '../../../../snapshot/cluster/channel.ts';
import { decodeChannel, encodeChannel } from '../../../../snapshot/cluster/channel-file.ts';
import { Coordinator } from '../../../../snapshot/cluster/coordinator.ts';
import type { Command, Input, SnapshotEvent } from '../../../../snapshot/cluster/protocol.ts';
import type { SerializedError } from '../../../../vmm/errors.ts';
import type { EventQueue } from './events.ts';
import { frameIdOf, type Oracle } from './oracle.ts';
import type { Participant } from './participant.ts';
import type { Random } from './random.ts';
import type { Fault, Scenario } from './scenario.ts';
import type { SimulatedSwitch, SwitchPort } from './switch.ts';
import { Violation } from './violation.ts';
import { type Body, copyVmState, type VmState } from './vm.ts';

/** A published snapshot: all that a restore has. */
export interface SimulatedSnapshot {
  readonly epoch: number;
  readonly at_us: number;
  readonly states: ReadonlyMap<number, VmState>;
  readonly frames: readonly { readonly sender: string; readonly receiver: string; readonly body: Body }[];
}

/** An image that is being made. */
interface Draft {
  readonly states: Map<number, VmState>;
  channel?: ChannelState;
}

export interface ControlWorld {
  readonly events: EventQueue;
  readonly random: Random;
  readonly scenario: Scenario;
  readonly oracle: Oracle;
  note(text: () => string): void;
}

/** Who carries out the commands. */
export interface ControlParties {
  readonly network: SimulatedSwitch;
  readonly participants: readonly Participant[];
  admit(vm: number, epoch: number): void;
}

export const failure: SerializedError = { code: 'TSVMM_E_INTERNAL', message: 'simulated', causes: [] };

/** The real coordinator, the messages from and to it, and the image store. */
export class ControlPlane {
  readonly snapshots: SimulatedSnapshot[] = [];
  readonly counts = {
    attempt: 0,
    aborted: 0,
    recorded: 0,
    cutByCommand: 0,
    cutByMarker: 0,
    cutByFullQueue: 0,
  };
  /** The attempt begun last. */
  attemptEpoch = 0;
  isSwitchAlive = true;
  private readonly world: ControlWorld;
  private readonly startEpoch: number;
  private readonly isBlind: boolean;
  private readonly coordinator: Coordinator;
  private readonly drafts = new Map<number, Draft>();
  private readonly lanes = new Map<string, number>();
  private readonly unanswered = new Set<number>();
  private parties: ControlParties | undefined;
  private lastDraft = 0;
  private plannedTick_us = Number.POSITIVE_INFINITY;

  constructor(world: ControlWorld, options: { epoch: number; vms: readonly number[]; isBlind: boolean }) {
    this.world = world;
    this.startEpoch = options.epoch;
    this.isBlind = options.isBlind;
    this.coordinator = new Coordinator({
      epoch: options.epoch,
      vms: options.vms.map(vm => `vm${vm}`),
      cutTimeout_us: 20_000,
      abortTimeout_us: 20_000,
      cutParallelism: world.scenario.cutParallelism,
      maximumQueued: 2,
    });
  }

  connect(parties: ControlParties): void {
    this.parties = parties;
  }

  /** Whether the fault is to strike the attempt of this epoch. */
  has(kind: Fault['kind'], epoch: number, vm?: number): boolean {
    return this.world.scenario.faults.some(
      fault =>
        fault.kind === kind &&
        'attempt' in fault &&
        fault.attempt === epoch - this.startEpoch &&
        (!('vm' in fault) || fault.vm === vm),
    );
  }

  /** The VM's state as it is now goes into the image. */
  take(vm: number, epoch: number): void {
    this.world.oracle.vmCut(epoch, vm);
    this.drafts.get(epoch)?.states.set(vm, copyVmState(this.participant(vm).state));
  }

  /** To the coordinator: late, and perhaps twice. */
  tell(input: Input): void {
    const { events, random, scenario } = this.world;
    events.after(random.between(1, scenario.commandDelay_us), () => this.feed(input));
    if (random.chance(scenario.duplicateShare)) {
      events.after(random.between(1, 4 * scenario.commandDelay_us), () => this.feed(input));
    }
  }

  /** To the coordinator, now. */
  feed(input: Input): void {
    this.world.note(() => `> ${JSON.stringify(input)}`);
    for (const command of this.coordinator.handle(input, this.world.events.now_us)) this.dispatch(command);
    this.planTick();
  }

  expectAnswer(request: number): void {
    this.unanswered.add(request);
  }

  checkEnd(): void {
    if (this.unanswered.size > 0) throw new Violation(`requests ${[...this.unanswered]} were never answered`);
    if (!this.coordinator.isIdle) throw new Violation('the coordinator is not idle');
    if (this.drafts.size > 0) throw new Violation(`images ${[...this.drafts.keys()]} were left behind`);
  }

  private planTick(): void {
    const deadline = this.coordinator.deadline_us;
    if (deadline === Number.POSITIVE_INFINITY || deadline === this.plannedTick_us) return;
    this.plannedTick_us = deadline;
    this.world.events.at(deadline, () => {
      if (this.plannedTick_us === deadline) this.feed({ kind: 'tick' });
    });
  }

  /** To a party: late, in order for each, and perhaps a second time, out of order. */
  private dispatch(command: Command): void {
    const { events, random, scenario } = this.world;
    if (command.kind === 'report') {
      this.reported(command.event);
      return;
    }
    this.world.note(() => `< ${JSON.stringify(command)}`);
    const lane = laneOf(command);
    const at = Math.max(
      events.now_us + random.between(1, scenario.commandDelay_us),
      this.lanes.get(lane) ?? 0,
    );
    this.lanes.set(lane, at);
    events.at(at, () => this.execute(command));
    if (random.chance(scenario.duplicateShare)) {
      events.at(at + random.between(0, 4 * scenario.commandDelay_us), () => this.execute(command));
    }
  }

  private execute(command: Exclude<Command, { kind: 'report' }>): void {
    const { epoch } = command;
    switch (command.kind) {
      case 'open-image':
        this.openImage(epoch);
        break;
      case 'discard-image':
        this.drafts.delete(epoch);
        this.tell({ kind: 'image-discarded', epoch });
        break;
      case 'publish':
        this.publish(epoch);
        break;
      case 'prepare-vm':
        this.participant(indexOf(command.vm)).prepare(epoch);
        break;
      case 'cut-vm':
        this.participant(indexOf(command.vm)).cut(epoch);
        break;
      case 'save-vm':
        this.participant(indexOf(command.vm)).save(epoch);
        break;
      case 'abort-vm':
        this.participant(indexOf(command.vm)).abort(epoch);
        break;
      case 'admit-vm':
        this.parties?.admit(indexOf(command.vm), epoch);
        break;
      default:
        if (this.isSwitchAlive) this.executeBySwitch(command);
    }
  }

  private executeBySwitch(
    command: Extract<Command, { kind: 'open-switch' | 'release-held' | 'record-channel' | 'abort-switch' }>,
  ): void {
    const { epoch } = command;
    const { network } = this.parties as ControlParties;
    switch (command.kind) {
      case 'open-switch':
        network.open(epoch, command.mode);
        this.tell({ kind: 'switch-ready', epoch });
        break;
      case 'release-held':
        network.release(indexOf(command.vm));
        break;
      case 'record-channel':
        this.recordChannel(network, epoch);
        break;
      case 'abort-switch':
        network.abort(epoch, () => this.tell({ kind: 'switch-aborted', epoch }));
        break;
    }
  }

  private recordChannel(network: SimulatedSwitch, epoch: number): void {
    const channel = network.drain(epoch);
    const draft = this.drafts.get(epoch);
    if (channel === undefined || draft === undefined) return;
    draft.channel = channel;
    this.counts.recorded += channel.frames.length;
    if (this.has('channel-fails', epoch)) this.tell({ kind: 'channel-failed', epoch, failure });
    else this.tell({ kind: 'channel-recorded', epoch, frames: new Map() });
  }

  private openImage(epoch: number): void {
    if (epoch <= this.lastDraft) return;
    this.lastDraft = epoch;
    this.drafts.set(epoch, { states: new Map() });
    if (this.has('image-fails', epoch)) this.tell({ kind: 'image-failed', epoch, failure });
    else this.tell({ kind: 'image-ready', epoch });
  }

  private publish(epoch: number): void {
    const draft = this.drafts.get(epoch);
    if (draft === undefined) return;
    if (this.has('publish-fails', epoch)) {
      this.tell({ kind: 'image-failed', epoch, failure });
      return;
    }
    this.drafts.delete(epoch);
    if (draft.channel === undefined) throw new Violation(`${epoch} is published without its channels`);
    const vms = [...draft.states.keys()];
    const ports = new Set(this.portsOf(vms).map(port => port.name));
    const channel = amongPorts(draft.channel, ports);
    if (!this.isBlind) this.world.oracle.checkSnapshot(epoch, vms, channel);
    const { frames } = decodeChannel(encodeChannel(channel), { epoch, ports });
    this.snapshots.push({
      epoch,
      at_us: this.world.events.now_us,
      states: draft.states,
      frames: frames.map(({ sender, receiver, bytes }) => {
        const frame = this.world.oracle.frames[frameIdOf(bytes)];
        return { sender, receiver, body: (frame as { body: Body }).body };
      }),
    });
    this.tell({ kind: 'published', epoch });
  }

  private reported(event: SnapshotEvent): void {
    this.world.note(() => `= ${event.kind} ${event.request.name}`);
    if (event.kind === 'started') {
      this.counts.attempt++;
      if (event.epoch <= this.attemptEpoch) throw new Violation(`the number ${event.epoch} is used again`);
      this.attemptEpoch = event.epoch;
    }
    if (event.kind === 'cut-commanded') this.counts[counterOf[event.cause]]++;
    if (event.kind === 'aborting') this.counts.aborted++;
    if (event.kind !== 'failed' && event.kind !== 'published') return;
    if (!this.unanswered.delete(event.request.id)) {
      throw new Violation(`${event.request.name} is answered twice`);
    }
    const isThere = this.snapshots.some(({ epoch }) => epoch === this.attemptEpoch);
    if (event.kind === 'published' && !isThere) throw new Violation(`${event.request.name} is not there`);
  }

  private portsOf(vms: readonly number[]): SwitchPort[] {
    return (this.parties as ControlParties).network.ports.filter(port => vms.includes(port.vm));
  }

  private participant(vm: number): Participant {
    return (this.parties as ControlParties).participants[vm] as Participant;
  }
}

const counterOf = {
  command: 'cutByCommand',
  'newer-marker': 'cutByMarker',
  'held-full': 'cutByFullQueue',
} as const;

function laneOf(command: Exclude<Command, { kind: 'report' }>): string {
  if (command.kind === 'open-image' || command.kind === 'publish' || command.kind === 'discard-image') {
    return 'image';
  }
  return 'vm' in command && command.kind !== 'release-held' ? command.vm : 'switch';
}

const indexOf = (vm: string) => Number(vm.slice(2));
