import { deserializeError, serializeError, TsvmmError } from '../../vmm/errors.ts';
import { amongPorts, type ChannelState } from './channel.ts';
import { Coordinator, defaultLimits } from './coordinator.ts';
import type { DriverOptions, SnapshotOrder } from './driver-options.ts';
import type { ClusterVm, FilterCounts, SnapshotImage, SwitchRecording } from './interfaces.ts';
import type { Command, FrameCounts, Input, PortName, SnapshotEvent, VmName } from './protocol.ts';
import { type SnapshotTimeline, TimelineBuilder } from './timeline.ts';

interface Waiter {
  readonly timeline: TimelineBuilder;
  readonly resolve: (timeline: SnapshotTimeline) => void;
  readonly reject: (error: Error) => void;
  published: SnapshotTimeline | undefined;
}

/** A VM that waits to be let in. */
interface Admission {
  readonly resolve: (epoch: number) => void;
  readonly reject: (reason: unknown) => void;
}

/** What is being made. VMs that leave or come meanwhile change nothing of it. */
interface OpenAttempt<Image> {
  readonly epoch: number;
  readonly request: number;
  readonly vms: ReadonlyMap<VmName, ClusterVm<Image>>;
  readonly image: Promise<Image>;
  /** What VMs do to end their parts, also those that have left and are not waited for otherwise. */
  readonly aborts: Promise<void>[];
}

/**
 * Takes cluster snapshots: connects the coordinator, which only decides, with the network, the VMs and the image
 * store, which only do. Runs on the control thread; nothing here is on the path of a frame.
 */
export class SnapshotDriver<Image extends SnapshotImage> {
  private readonly options: DriverOptions<Image>;
  private readonly coordinator: Coordinator;
  private readonly vms = new Map<VmName, ClusterVm<Image>>();
  private readonly vmByPort = new Map<PortName, VmName>();
  private readonly waiters = new Map<number, Waiter>();
  private readonly admissions = new Map<VmName, Admission>();
  private readonly inbox: Input[] = [];
  private open: OpenAttempt<Image> | undefined;
  private isFeeding = false;
  private cancelTick: (() => void) | undefined;
  private nextRequest = 1;

  constructor(options: DriverOptions<Image>) {
    this.options = options;
    for (const vm of options.vms) this.addVm(vm);
    this.coordinator = new Coordinator({
      ...defaultLimits,
      ...options.limits,
      epoch: options.epoch,
      vms: options.vms.map(vm => vm.name),
    });
    const notice = (kind: 'newer-marker' | 'held-full') => (port: PortName, epoch: number) => {
      const vm = this.vmByPort.get(port);
      if (vm !== undefined) this.feed({ kind, vm, epoch });
    };
    options.network.listen({
      newerMarker: notice('newer-marker'),
      heldFull: notice('held-full'),
      unplugging: port => {
        const vm = this.vmByPort.get(port);
        if (vm !== undefined) this.leave(vm, new TsvmmError('TSVMM_E_CONFLICT', `${vm} has ended`));
      },
      died: error => this.feed({ kind: 'switch-died', failure: serializeError(error) }),
    });
  }

  /** For display: the epoch that a port must start in is told by join() alone. */
  get epoch(): number {
    return this.coordinator.epoch;
  }

  /**
   * Takes a snapshot, after those that were asked for before. Rejects with the error of whatever failed; the cluster
   * runs on undisturbed then, and nothing of the snapshot is left. `signal` gives it up.
   */
  snapshot({ name, mode, timeout_us, signal }: SnapshotOrder): Promise<SnapshotTimeline> {
    const id = this.nextRequest++;
    const result = new Promise<SnapshotTimeline>((resolve, reject) => {
      this.waiters.set(id, { timeline: new TimelineBuilder(), resolve, reject, published: undefined });
    });
    const abort = () => this.feed({ kind: 'abort-requested', id });
    this.feed({ kind: 'snapshot-requested', request: { id, name, mode, timeout_us } });
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
    return result.finally(() => signal?.removeEventListener('abort', abort));
  }

  /**
   * Takes a VM into the cluster. Calls `plug` with the epoch in which its ports must start, as soon as that disturbs no
   * snapshot; no snapshot begins until it has settled. Rejects when `plug` does, and the VM is not in the cluster then.
   */
  join(vm: ClusterVm<Image>, plug: (epoch: number) => Promise<void>): Promise<void> {
    const { name } = vm;
    if (this.vms.has(name)) {
      return Promise.reject(new TsvmmError('TSVMM_E_CONFLICT', `VM "${name}" is in the cluster already`));
    }
    this.addVm(vm);
    const admission = new Promise<number>((resolve, reject) => {
      this.admissions.set(name, { resolve, reject });
      this.feed({ kind: 'vm-joining', vm: name });
    });
    return admission.then(plug).then(
      () => this.feed({ kind: 'vm-joined', vm: name }),
      error => {
        this.leave(name, error);
        throw error;
      },
    );
  }

  /**
   * The VM has ended, for `reason`: an attempt that still needs it fails. A VM whose ports are unplugged leaves by
   * itself before that. Nothing happens when it has left already.
   */
  leave(name: VmName, reason: unknown): void {
    if (!this.vms.has(name)) return;
    this.feed({ kind: 'vm-left', vm: name, failure: serializeError(reason) });
    const vm = this.vms.get(name);
    for (const port of vm?.ports ?? []) this.vmByPort.delete(port);
    this.vms.delete(name);
    this.admissions.get(name)?.reject(reason);
    this.admissions.delete(name);
  }

  private addVm(vm: ClusterVm<Image>): void {
    this.vms.set(vm.name, vm);
    for (const port of vm.ports) this.vmByPort.set(port, vm.name);
  }

  /** Inputs are taken one by one: what a command leads to at once waits until all commands before it are out. */
  private feed(input: Input): void {
    this.inbox.push(input);
    if (this.isFeeding) return;
    this.isFeeding = true;
    try {
      for (let next = this.inbox.shift(); next !== undefined; next = this.inbox.shift()) {
        for (const command of this.coordinator.handle(next, this.options.clock.now_us()))
          this.execute(command);
      }
    } finally {
      this.isFeeding = false;
    }
    this.planTick();
  }

  private planTick(): void {
    this.cancelTick?.();
    this.cancelTick = undefined;
    const { deadline_us } = this.coordinator;
    if (deadline_us === Number.POSITIVE_INFINITY) return;
    this.cancelTick = this.options.clock.schedule(deadline_us, () => this.feed({ kind: 'tick' }));
  }

  private execute(command: Command): void {
    const { network } = this.options;
    switch (command.kind) {
      case 'report':
        this.report(command.event);
        break;
      case 'admit-vm':
        this.admissions.get(command.vm)?.resolve(command.epoch);
        this.admissions.delete(command.vm);
        break;
      case 'release-held':
        network.releaseHeld(this.participant(command.epoch, command.vm).ports);
        break;
      case 'open-image':
      case 'record-channel':
      case 'publish':
      case 'discard-image':
        this.executeByImage(command);
        break;
      case 'open-switch':
      case 'abort-switch':
        this.executeBySwitch(command);
        break;
      default:
        this.executeByVm(command);
    }
  }

  private executeByImage(
    command: Extract<Command, { kind: 'open-image' | 'record-channel' | 'publish' | 'discard-image' }>,
  ): void {
    const { epoch } = command;
    const failed = (kind: 'image-failed' | 'channel-failed') => (error: unknown) =>
      this.feed({ kind, epoch, failure: serializeError(error) });
    switch (command.kind) {
      case 'open-image':
        this.attend(
          () => this.openImage(command),
          () => ({ kind: 'image-ready', epoch }),
          failed('image-failed'),
        );
        break;
      case 'record-channel':
        this.attend(
          () => this.recordChannel(epoch),
          frames => ({ kind: 'channel-recorded', epoch, frames }),
          failed('channel-failed'),
        );
        break;
      case 'publish':
        this.attend(
          () => this.publish(epoch),
          () => ({ kind: 'published', epoch }),
          failed('image-failed'),
        );
        break;
      case 'discard-image':
        this.cleanUp(() => this.discardImage(epoch), { kind: 'image-discarded', epoch });
        break;
    }
  }

  private executeBySwitch(command: Extract<Command, { kind: 'open-switch' | 'abort-switch' }>): void {
    const { network } = this.options;
    const { epoch } = command;
    if (command.kind === 'abort-switch') {
      this.cleanUp(() => network.abort(epoch), { kind: 'switch-aborted', epoch });
      return;
    }
    this.attend(
      () => network.open(epoch, command.mode),
      () => ({ kind: 'switch-ready', epoch }),
      error => this.feed({ kind: 'channel-failed', epoch, failure: serializeError(error) }),
    );
  }

  private executeByVm(
    command: Extract<Command, { kind: 'prepare-vm' | 'cut-vm' | 'save-vm' | 'abort-vm' }>,
  ): void {
    const { epoch, vm } = command;
    const { snapshotter } = this.participant(epoch, vm);
    const failed = (error: unknown) =>
      this.feed({ kind: 'vm-failed', epoch, vm, failure: serializeError(error) });
    switch (command.kind) {
      case 'prepare-vm':
        this.attend(
          async () => {
            const { image, aborts } = this.attempt(epoch);
            const made = await image;
            // Time was up when the image was there: nobody would end what began now.
            if (aborts.length > 0) throw new TsvmmError('TSVMM_E_INTERRUPTED', 'the snapshot was given up');
            await snapshotter.prepare(epoch, made);
          },
          () => ({ kind: 'vm-ready', epoch, vm }),
          failed,
        );
        break;
      case 'cut-vm':
        this.attend(
          () => this.cut(epoch, this.participant(epoch, vm)),
          cut => ({ kind: 'vm-cut', epoch, vm, cut }),
          failed,
        );
        break;
      case 'save-vm':
        this.attend(
          () => snapshotter.save(epoch, progress => this.options.onProgress?.(vm, progress)),
          saved => ({ kind: 'vm-saved', epoch, vm, saved }),
          failed,
        );
        break;
      case 'abort-vm': {
        const aborting = started(() => snapshotter.abort(epoch));
        this.attempt(epoch).aborts.push(aborting);
        this.cleanUp(() => aborting, { kind: 'vm-aborted', epoch, vm });
        break;
      }
    }
  }

  /** Begins `work` now, and tells the coordinator how it ended. */
  private attend<Result>(
    work: () => Promise<Result>,
    done: (result: Result) => Input,
    failed: (error: unknown) => void,
  ): void {
    started(work).then(result => this.feed(done(result)), failed);
  }

  /** As attend(), for what must be done with either way. */
  private cleanUp(work: () => Promise<void>, done: Input): void {
    started(work)
      .catch(error => this.options.onFault?.(error))
      .then(() => this.feed(done));
  }

  private async openImage({ epoch, request, vms }: Extract<Command, { kind: 'open-image' }>): Promise<void> {
    const image = started(() => this.options.store.create(request.name, epoch, vms));
    const participants = new Map(vms.map(vm => [vm, this.vms.get(vm) as ClusterVm<Image>]));
    this.open = { epoch, request: request.id, vms: participants, image, aborts: [] };
    await image;
  }

  private async cut(epoch: number, { snapshotter, ports }: ClusterVm<Image>) {
    const { clock, network } = this.options;
    let crossed_us: number | undefined;
    const report = await snapshotter.cut(epoch, () => {
      for (const port of ports) network.cutPort(port, epoch);
      crossed_us = clock.now_us();
    });
    if (crossed_us === undefined) {
      throw new TsvmmError('TSVMM_E_INTERNAL', 'the VM was cut, but its ports did not cross');
    }
    return { ...report, crossed_us };
  }

  private async recordChannel(epoch: number): Promise<Map<VmName, FrameCounts>> {
    const { image, vms } = this.attempt(epoch);
    const { channel, counts } = await this.options.network.drain(epoch);
    const kept = amongPorts(channel, new Set([...vms.values()].flatMap(vm => vm.ports)));
    await (await image).writeChannel(kept);
    return new Map([...vms].map(([name, { ports }]) => [name, this.countsOf(ports, counts, kept)]));
  }

  private async publish(epoch: number): Promise<void> {
    const { image, request } = this.attempt(epoch);
    const waiter = this.waiters.get(request);
    if (waiter === undefined) throw new TsvmmError('TSVMM_E_INTERNAL', 'nobody asked for this snapshot');
    const timeline = waiter.timeline.build(this.options.clock.now_us());
    await (await image).publish(timeline);
    waiter.published = timeline;
  }

  /** Also when it is still being made. One that could not be made has cleaned up after itself. */
  private async discardImage(epoch: number): Promise<void> {
    const { image, aborts } = this.attempt(epoch);
    const made = await image.catch(() => undefined);
    // Whoever still writes would make the folder again.
    await Promise.allSettled(aborts);
    await made?.discard();
  }

  private countsOf(
    ports: readonly PortName[],
    counts: SwitchRecording['counts'],
    { frames }: ChannelState,
  ): FrameCounts {
    const total = (key: keyof FilterCounts) =>
      ports.reduce((sum, port) => sum + (counts.get(port)?.[key] ?? 0), 0);
    return {
      held_count: total('held_count'),
      dropped_count: total('dropped_count'),
      recorded_count: frames.filter(({ receiver }) => ports.includes(receiver)).length,
    };
  }

  private report(event: SnapshotEvent): void {
    const waiter = this.waiters.get(event.request.id);
    waiter?.timeline.add(event);
    this.options.onEvent?.(event);
    if (event.kind === 'failed') waiter?.reject(deserializeError(event.failure));
    else if (event.kind === 'published') waiter?.resolve(waiter.published as SnapshotTimeline);
    else return;
    this.waiters.delete(event.request.id);
  }

  private attempt(epoch: number): OpenAttempt<Image> {
    if (this.open?.epoch === epoch) return this.open;
    throw new TsvmmError('TSVMM_E_INTERNAL', `epoch ${epoch} is not under way`);
  }

  private participant(epoch: number, vm: VmName): ClusterVm<Image> {
    const participant = this.attempt(epoch).vms.get(vm);
    if (participant !== undefined) return participant;
    throw new TsvmmError('TSVMM_E_INTERNAL', `VM "${vm}" has no part in epoch ${epoch}`);
  }
}

/** Begins it now; if it throws at once, that is a rejection too. */
async function started<Result>(work: () => Promise<Result>): Promise<Result> {
  return work();
}
