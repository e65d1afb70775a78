import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { TsvmmError } from '../vmm/errors.ts';
import { IoThread } from '../vmm/io/io-thread.ts';
import type { Machine } from '../vmm/machine.ts';
import { PreCopyAttempt } from './baseline/pre-copy.ts';
import { StopCopyAttempt } from './baseline/stop-copy.ts';
import type { VmSnapshotter as ClusterSnapshotter, SaveProgress } from './cluster/interfaces.ts';
import type { SaveReport } from './cluster/protocol.ts';
import { CopyPools } from './cow/copy-pool.ts';
import { knownDigest } from './disk/layer-digest.ts';
import { type FrozenDisk, shareLayers } from './disk/share-layers.ts';
import { HotAttempt } from './hot-attempt.ts';
import type { ManifestVm } from './image/manifest.ts';
import type { SnapshotFolder } from './image/store.ts';
import type { SaveResult } from './saver/saver.ts';
import type { SaverMessage } from './saver/saver-thread.ts';
import { HotPages } from './transient/hot-pages.ts';
import type { FreezableDisk } from './transient/transient.ts';
import type { VmAttempt } from './vm-attempt.ts';
import { VmSnapshotter } from './vm-snapshotter.ts';

const PROGRESS_INTERVAL_MS = 50;

/** A disk as a snapshot takes it; snapshot/disk's Disk is one. */
export interface SnapshotDisk {
  readonly name: string;
  prepare(): Promise<void>;
  freeze(): FrozenDisk;
  seal(): Promise<void>;
}

interface SavedDisk {
  readonly disk: ManifestVm['disks'][number];
  readonly bytes: number;
}

interface Attempt {
  readonly epoch: number;
  readonly image: SnapshotFolder;
  readonly snapshotter: VmAttempt;
  readonly frozen: Map<string, FrozenDisk>;
}

/** One machine's part in cluster snapshots, one after another. Its saver thread and its buffers stay for the next. */
export class MachineSnapshotter implements ClusterSnapshotter<SnapshotFolder> {
  private readonly machine: Machine;
  private readonly ports: readonly string[];
  private readonly disks: readonly SnapshotDisk[];
  private saver: IoThread<SaverMessage, SaveResult> | undefined;
  private readonly pools = new CopyPools();
  private readonly hotPages = new HotPages();
  private attempt: Attempt | undefined;
  /** Settles when the last prepare() has, in whatever way. */
  private preparing: Promise<void> = Promise.resolve();
  /** Epochs that are given up while they are prepared. */
  private readonly unwanted = new Set<number>();

  /** `ports` are its NICs, as "vm/nic". */
  constructor(machine: Machine, ports: readonly string[], disks: readonly SnapshotDisk[]) {
    this.machine = machine;
    this.ports = ports;
    this.disks = disks;
  }

  prepare(epoch: number, image: SnapshotFolder): Promise<void> {
    const preparing = this.prepareAttempt(epoch, image);
    this.preparing = preparing.catch(() => {});
    return preparing;
  }

  private async prepareAttempt(epoch: number, image: SnapshotFolder): Promise<void> {
    await Promise.all(this.disks.map(disk => disk.prepare()));
    const frozen = new Map<string, FrozenDisk>();
    const freezable = this.disks.map(disk => ({ freeze: () => void frozen.set(disk.name, disk.freeze()) }));
    const snapshotter = await this.begin(epoch, image, freezable);
    this.attempt = { epoch, image, snapshotter, frozen };
  }

  private async begin(
    epoch: number,
    { options, writer, standstill, pauses, parent }: SnapshotFolder,
    disks: readonly FreezableDisk[],
  ): Promise<VmAttempt> {
    const { machine } = this;
    const { method, cow, compression } = options;
    if (method === 'pre-copy') {
      return PreCopyAttempt.prepare(machine, writer, disks, () => !this.unwanted.has(epoch));
    }
    this.saver ??= new IoThread(import.meta.url, './saver/saver-thread');
    const base = parent?.memory(machine.config.name);
    const how = { cow, compression, base, hotPages: this.hotPages };
    const snapshotter = await VmSnapshotter.prepare(machine, how, writer, this.saver, this.pools, disks);
    return method === 'stop-copy'
      ? new StopCopyAttempt(snapshotter, standstill)
      : new HotAttempt(snapshotter, pauses);
  }

  async cut(epoch: number, cross: () => void) {
    return this.attemptOf(epoch).snapshotter.cut(cross);
  }

  async save(epoch: number, onProgress: (progress: SaveProgress) => void): Promise<SaveReport> {
    const { snapshotter, image, frozen } = this.attemptOf(epoch);
    await snapshotter.settle?.();
    if (this.attempt?.epoch !== epoch)
      throw new TsvmmError('TSVMM_E_INTERRUPTED', 'the snapshot was given up');
    const ticking = new AbortController();
    void this.reportProgress(onProgress, ticking.signal);
    try {
      const [saved, disks] = await Promise.all([snapshotter.save(), this.saveDisks(image, frozen)]);
      const vm = { ...saved.manifest, ports: [...this.ports], disks: disks.map(({ disk }) => disk) };
      image.addVm(vm);
      const disk_bytes = disks.reduce((sum, { bytes }) => sum + bytes, 0);
      return { ...saved.report, disk_bytes };
    } finally {
      ticking.abort();
    }
  }

  async abort(epoch: number): Promise<void> {
    // An attempt that is still being prepared can be ended when it is there.
    this.unwanted.add(epoch);
    await this.preparing;
    this.unwanted.delete(epoch);
    if (this.attempt?.epoch !== epoch) return;
    const { snapshotter, frozen } = this.attempt;
    this.attempt = undefined;
    await snapshotter.abort();
    // What was frozen stays a layer of the disk; it only has to become one properly.
    await Promise.all(this.disks.filter(disk => frozen.has(disk.name)).map(disk => disk.seal()));
  }

  /** Ends the saver thread. The machine's snapshots are over. */
  async close(): Promise<void> {
    await this.preparing;
    if (this.attempt !== undefined) await this.abort(this.attempt.epoch);
    await this.saver?.stop();
    this.saver = undefined;
    this.pools.close();
  }

  private saveDisks(image: SnapshotFolder, frozen: ReadonlyMap<string, FrozenDisk>): Promise<SavedDisk[]> {
    const vm = this.machine.config.name;
    return Promise.all(
      this.disks.map(async disk => {
        await disk.seal();
        const path = `vms/${vm}/disks/${disk.name}`;
        const folder = join(image.writer.folder, path);
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        const shared = await shareLayers(frozen.get(disk.name) as FrozenDisk, folder);
        const digests = await Promise.all(shared.layers.map(({ file }) => knownDigest(join(folder, file))));
        const description = { ...shared, layers: [...shared.layers] };
        return {
          disk: { name: disk.name, path, description, digests: digests.map(({ crc32 }) => crc32) },
          // Older layers are shared with the snapshots before.
          bytes: digests.at(-1)?.data_bytes ?? 0,
        };
      }),
    );
  }

  private async reportProgress(
    onProgress: (progress: SaveProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { state, chunkCount } = this.machine.cow;
    const pagesPerChunk = state.chunkSize / 4096;
    while (!signal.aborted) {
      onProgress({
        pages_saved: (chunkCount - state.remaining) * pagesPerChunk,
        pages_total: chunkCount * pagesPerChunk,
        cow_faults: state.counters.cow_faults + state.counters.cow_faults_partial,
      });
      await setTimeout(PROGRESS_INTERVAL_MS, undefined, { signal }).catch(() => {});
    }
  }

  private attemptOf(epoch: number): Attempt {
    if (this.attempt?.epoch === epoch) return this.attempt;
    throw new TsvmmError('TSVMM_E_INTERNAL', `no snapshot of epoch ${epoch} was prepared`);
  }
}
