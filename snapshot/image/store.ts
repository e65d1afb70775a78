import { join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { Standstill } from '../baseline/standstill.ts';
import type { ChannelState } from '../cluster/channel.ts';
import { encodeChannel } from '../cluster/channel-file.ts';
import type { FilterModeName } from '../cluster/filter.ts';
import type { ImageStore, SnapshotImage } from '../cluster/interfaces.ts';
import type { SnapshotTimeline } from '../cluster/timeline.ts';
import type { CowMechanismName } from '../cow/mechanism.ts';
import { encodeJson } from './durable.ts';
import { type FileReference, FORMAT, FORMAT_VERSION, type ManifestVm } from './manifest.ts';
import { snapshotReport } from './report.ts';
import { SnapshotWriter } from './writer.ts';

export interface SnapshotOptions {
  readonly method: 'hotsnap' | 'stop-copy' | 'pre-copy';
  readonly cow: CowMechanismName;
  readonly filter: FilterModeName;
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
  private readonly vms: ManifestVm[] = [];
  private channel: FileReference | undefined;

  constructor(store: StoreOptions, name: string, epoch: number, options: SnapshotOptions) {
    this.writer = new SnapshotWriter(join(store.folder, name));
    this.store = store;
    this.name = name;
    this.epoch = epoch;
    this.options = options;
  }

  addVm(vm: ManifestVm): void {
    this.vms.push(vm);
  }

  async writeChannel(channel: ChannelState): Promise<void> {
    this.channel = this.writer.writeFile('channel.bin', encodeChannel(channel));
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
      epoch,
      ...options,
      configuration: store.configuration,
      vms: this.vms.sort((a, b) => a.name.localeCompare(b.name)),
      channel,
      timeline: writer.writeFile('timeline.json', encodeJson(timeline)),
      report: snapshotReport(`${store.cluster}/${name}`, join(store.folder, name), options, timeline),
    });
  }

  async discard(): Promise<void> {
    this.writer.discard();
  }
}

/** Makes the folders of a cluster's snapshots. */
export class SnapshotStore implements ImageStore<SnapshotFolder> {
  private readonly options: StoreOptions;
  private readonly expected = new Map<string, SnapshotOptions>();

  constructor(options: StoreOptions) {
    this.options = options;
  }

  /** Says how the snapshot that will be made under this name is to be taken. */
  expect(name: string, options: SnapshotOptions): void {
    this.expected.set(name, options);
  }

  async create(name: string, epoch: number): Promise<SnapshotFolder> {
    const options = this.expected.get(name);
    if (options === undefined)
      throw new TsvmmError('TSVMM_E_INTERNAL', `nobody asked for a snapshot ${name}`);
    this.expected.delete(name);
    return new SnapshotFolder(this.options, name, epoch, options);
  }
}
