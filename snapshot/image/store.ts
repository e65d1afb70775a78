import { join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { Standstill } from '../baseline/standstill.ts';
import type { ChannelState } from '../cluster/channel.ts';
import { encodeChannel } from '../cluster/channel-file.ts';
import type { FilterModeName } from '../cluster/filter.ts';
import type { ImageStore, SnapshotImage } from '../cluster/interfaces.ts';
import type { SnapshotTimeline } from '../cluster/timeline.ts';
import type { CowMechanismName } from '../cow/mechanism.ts';
import { JointPause } from '../transient/joint-pause.ts';
import type { Compression } from './compression-names.ts';
import { encodeJson } from './durable.ts';
import { FORMAT, FORMAT_VERSION, type ManifestVm } from './manifest.ts';
import type { ParentSnapshot } from './parent.ts';
import { snapshotReport } from './report.ts';
import { SnapshotWriter } from './writer.ts';

export interface SnapshotOptions {
  readonly method: 'hotsnap' | 'stop-copy' | 'pre-copy';
  readonly cow: CowMechanismName;
  readonly filter: FilterModeName;
  readonly compression: Compression;
}

export interface StoreOptions {
  readonly cluster: string;
  /** Where the cluster's snapshots are, one folder each. */
  readonly folder: string;
  /** The resolved cluster file. */
  readonly configuration: unknown;
}

/** A snapshot that is being made. The VMs' snapshotters write through `writer` and leave their parts here. */
export class SnapshotFolder implements SnapshotImage {
  readonly writer: SnapshotWriter;
  readonly options: SnapshotOptions;
  private readonly store: StoreOptions;
  private readonly name: string;
  private readonly epoch: number;
  /** Of the methods that let all VMs stand still until the last one is saved. */
  readonly standstill = new Standstill();
  /** Of hot snapshots: where the VMs' pauses meet. */
  readonly pauses = new JointPause();
  /** What it builds on; whoever opened it closes it. */
  readonly parent: ParentSnapshot | undefined;
  private readonly vms: ManifestVm[] = [];
  private channel: ChannelState | undefined;

  constructor(
    store: StoreOptions,
    name: string,
    epoch: number,
    options: SnapshotOptions,
    parent?: ParentSnapshot,
  ) {
    this.parent = parent;
    this.writer = new SnapshotWriter(join(store.folder, name));
    this.store = store;
    this.name = name;
    this.epoch = epoch;
    this.options = options;
  }

  addVm(vm: ManifestVm): void {
    this.vms.push(vm);
  }

  /** Written with the rest at the end: right after the cuts the guests need the processors. */
  async writeChannel(channel: ChannelState): Promise<void> {
    this.channel = channel;
  }

  async publish(timeline: SnapshotTimeline): Promise<void> {
    const { channel, writer, store, options, name, epoch } = this;
    if (channel === undefined) throw new TsvmmError('TSVMM_E_INTERNAL', 'the channel was never written');
    writer.publish({
      format: FORMAT,
      version: FORMAT_VERSION,
      cluster: store.cluster,
      name,
      created_at: new Date().toISOString(),
      cut_realtime_us: realtimeOf(timeline),
      parent: this.parent?.reference ?? null,
      epoch,
      method: options.method,
      cow: options.cow,
      filter: options.filter,
      configuration: store.configuration,
      vms: this.vms.sort((a, b) => a.name.localeCompare(b.name)),
      channel: writer.writeFile('channel.bin', encodeChannel(channel)),
      timeline: writer.writeFile('timeline.json', encodeJson(timeline)),
      report: snapshotReport(
        `${store.cluster}/${name}`,
        join(store.folder, name),
        { ...options, parent: parentName(this.parent) },
        timeline,
      ),
    });
  }

  async discard(): Promise<void> {
    this.writer.discard();
  }
}

export const parentName = (parent: ParentSnapshot | undefined): string | null =>
  parent === undefined ? null : `${parent.reference.cluster}/${parent.reference.name}`;

/** When the first VM was cut, by the clock on the wall; to be called when all is written. */
function realtimeOf({ complete_us, vms }: SnapshotTimeline): number {
  const age_us = Math.max(0, ...vms.map(({ crossed_us }) => complete_us - crossed_us));
  return Math.round(Date.now() * 1000 - age_us);
}

/** Makes the folders of a cluster's snapshots. */
export class SnapshotStore implements ImageStore<SnapshotFolder> {
  private readonly options: StoreOptions;
  private readonly expected = new Map<
    string,
    { options: SnapshotOptions; parent: ParentSnapshot | undefined }
  >();

  constructor(options: StoreOptions) {
    this.options = options;
  }

  /** Says how the snapshot that will be made under this name is to be taken, and on what it builds. */
  expect(name: string, options: SnapshotOptions, parent?: ParentSnapshot): void {
    this.expected.set(name, { options, parent });
  }

  async create(name: string, epoch: number): Promise<SnapshotFolder> {
    const expected = this.expected.get(name);
    if (expected === undefined)
      throw new TsvmmError('TSVMM_E_INTERNAL', `nobody asked for a snapshot ${name}`);
    this.expected.delete(name);
    return new SnapshotFolder(this.options, name, epoch, expected.options, expected.parent);
  }
}
