import type { ChannelState } from '../../../snapshot/cluster/channel.ts';
import type { FilterModeName } from '../../../snapshot/cluster/filter.ts';
import type {
  Clock,
  ClusterVm,
  EpochSwitch,
  ImageStore,
  SaveProgress,
  SnapshotImage,
  SwitchListener,
  SwitchRecording,
  VmSnapshotter,
} from '../../../snapshot/cluster/interfaces.ts';
import type { SaveReport } from '../../../snapshot/cluster/protocol.ts';
import type { SnapshotTimeline } from '../../../snapshot/cluster/timeline.ts';

/** Fakes of all that the driver works with. They note what they are told in `log`, and fail where they are told to. */
export class FakeWorld {
  readonly log: string[] = [];
  /** "prepare a" and the like: the step that fails. */
  failing: string | undefined;
  /** The step that takes until release(). */
  hanging: string | undefined;
  private releaseHanging: () => void = () => {};
  private readonly released = new Promise<void>(resolve => {
    this.releaseHanging = resolve;
  });

  async step(what: string): Promise<void> {
    this.log.push(what);
    await Promise.resolve();
    if (this.hanging === what) await this.released;
    if (this.failing === what) throw new Error(`${what} fails`);
  }

  release(): void {
    this.releaseHanging();
  }
}

export class FakeClock implements Clock {
  time_us = 0;
  private readonly timers = new Set<{ readonly at_us: number; readonly callback: () => void }>();

  /** A little later each time, so that spans are never 0. */
  now_us(): number {
    return ++this.time_us;
  }

  schedule(at_us: number, callback: () => void): () => void {
    const timer = { at_us, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  advance(span_us: number): void {
    this.time_us += span_us;
    for (const timer of this.timers) {
      if (timer.at_us > this.time_us) continue;
      this.timers.delete(timer);
      timer.callback();
    }
  }

  get isSet(): boolean {
    return this.timers.size > 0;
  }
}

export class FakeSwitch implements EpochSwitch {
  readonly epochs = new Map<string, number>();
  recording: SwitchRecording = { channel: { epoch: 1, frames: [] }, counts: new Map() };
  listener: SwitchListener | undefined;
  private readonly world: FakeWorld;

  constructor(world: FakeWorld) {
    this.world = world;
  }

  listen(listener: SwitchListener): void {
    this.listener = listener;
  }
  open(epoch: number, mode: FilterModeName): Promise<void> {
    return this.world.step(`open ${epoch} ${mode}`);
  }
  cutPort(port: string, epoch: number): void {
    this.epochs.set(port, epoch);
  }
  releaseHeld(ports: readonly string[]): void {
    this.world.log.push(`release ${ports}`);
  }
  async drain(epoch: number): Promise<SwitchRecording> {
    await this.world.step(`drain ${epoch}`);
    return this.recording;
  }
  abort(epoch: number): Promise<void> {
    return this.world.step(`abort switch ${epoch}`);
  }
}

export class FakeImage implements SnapshotImage {
  channel: ChannelState | undefined;
  timeline: SnapshotTimeline | undefined;
  private readonly world: FakeWorld;

  constructor(world: FakeWorld) {
    this.world = world;
  }

  async writeChannel(channel: ChannelState): Promise<void> {
    await this.world.step('write channel');
    this.channel = channel;
  }
  async publish(timeline: SnapshotTimeline): Promise<void> {
    await this.world.step('publish');
    this.timeline = timeline;
  }
  discard(): Promise<void> {
    return this.world.step('discard');
  }
}

export class FakeStore implements ImageStore<FakeImage> {
  readonly images: FakeImage[] = [];
  private readonly world: FakeWorld;

  constructor(world: FakeWorld) {
    this.world = world;
  }

  async create(name: string, epoch: number, vms: readonly string[]): Promise<FakeImage> {
    await this.world.step(`create ${name} ${epoch} ${vms}`);
    const image = new FakeImage(this.world);
    this.images.push(image);
    return image;
  }
}

export const saveReport: SaveReport = {
  pages_total: 4,
  pages_zero: 1,
  pages_eager: 1,
  pages_active: 2,
  cow_faults: 1,
  vmm_write_saves: 0,
  fallbacks: 0,
  memory_bytes: 12_288,
  disk_bytes: 0,
};

export class FakeSnapshotter implements VmSnapshotter<FakeImage> {
  /** Whether its cut takes the ports along. */
  crosses = true;
  private readonly name: string;
  private readonly world: FakeWorld;
  private readonly clock: Clock;

  constructor(name: string, world: FakeWorld, clock: Clock) {
    this.name = name;
    this.world = world;
    this.clock = clock;
  }

  prepare(): Promise<void> {
    return this.world.step(`prepare ${this.name}`);
  }
  async cut(_epoch: number, cross: () => void) {
    const suspended_us = this.clock.now_us();
    await this.world.step(`cut ${this.name}`);
    if (this.crosses) cross();
    return { suspended_us, resumed_us: this.clock.now_us(), kick_us: 1, state_us: 1, arm_us: 1 };
  }
  async save(_epoch: number, onProgress: (progress: SaveProgress) => void): Promise<SaveReport> {
    onProgress({ pages_saved: 2, pages_total: 4, cow_faults: 1 });
    await this.world.step(`save ${this.name}`);
    return saveReport;
  }
  abort(): Promise<void> {
    return this.world.step(`abort ${this.name}`);
  }
}

export function fakeVm(name: string, world: FakeWorld, clock: Clock, ports = ['net0']) {
  const snapshotter = new FakeSnapshotter(name, world, clock);
  return { name, ports: ports.map(port => `${name}/${port}`), snapshotter } satisfies ClusterVm<FakeImage>;
}
