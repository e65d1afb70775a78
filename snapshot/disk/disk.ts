import { join } from 'node:path';
import type { DevicePlug } from '../../vmm/devices/plug.ts';
import { blockModel } from '../../vmm/devices/virtio/block/model.ts';
import type { VirtioModel } from '../../vmm/devices/virtio/model.ts';
import type { DeviceAttachment } from '../../vmm/devices/virtio/served-device.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { IoThread } from '../../vmm/io/io-thread.ts';
import type { RamDescriptor } from '../../vmm/memory/ram.ts';
import { type DiskDescription, describedGeometry, type LayerDescription } from './description.ts';
import { DiskFolder } from './disk-folder.ts';
import { DiskStats, type DiskStatsReport } from './disk-stats.ts';
import type { DiskThreadMessage, DiskThreadReply, DiskThreadSetup } from './disk-thread.ts';
import { syncData } from './durable-files.ts';
import { FreezeWord } from './freeze-word.ts';
import { SECTOR_SIZE } from './geometry.ts';
import { withMerged, writeMerged } from './merge-layers.ts';
import { MAXIMUM_LAYERS } from './owner-table.ts';
import type { FrozenDisk } from './share-layers.ts';

export interface DiskOptions {
  /** Unique in its VM, "disk0"; also what the guest reads as the device's serial number (20 characters). */
  readonly name: string;
  readonly readOnly?: boolean;
}

/** Layers are merged when there are so many: each costs a file descriptor, a name in every snapshot, and time to open. */
const MERGE_FROM = 64;

/** All that the next freeze needs, so that there is nothing to be made in the pause. */
interface Prepared {
  /** The empty layer on top of what disk.json names. */
  readonly layer: LayerDescription;
  /** The disk without it. */
  readonly frozen: FrozenDisk;
}

/**
 * A disk in use: its folder is locked, and its thread serves it, from open() to close(). How a snapshot takes it:
 *
 *     await disk.prepare();          // before the pause: makes the file of the next layer
 *     const frozen = disk.freeze();  // in the pause, the device's lock held: one word in memory changes
 *     await disk.seal();             // after it: what was frozen becomes durable and final
 *     await shareLayers(frozen, snapshotFolder);
 */
export class Disk implements DevicePlug {
  readonly name: string;
  readonly model: VirtioModel;
  private readonly folder: DiskFolder;
  private readonly writable: boolean;
  private readonly thread: IoThread<DiskThreadMessage, DiskThreadReply>;
  private readonly statistics = new DiskStats();
  private readonly freezeWord = new FreezeWord();
  private prepared: Prepared | undefined;
  /** Layers frozen and not yet sealed. */
  private unsealed: LayerDescription[] = [];
  private preparing: Promise<void> | undefined;
  private closed = false;

  private constructor(folder: DiskFolder, { name, readOnly = false }: DiskOptions) {
    const { size } = describedGeometry(folder.description);
    this.name = name;
    this.writable = !readOnly;
    this.folder = folder;
    this.model = blockModel({ sectorCount: size / SECTOR_SIZE, readOnly });
    this.thread = new IoThread(import.meta.url, './disk-thread', {
      folder: folder.path,
      description: folder.description,
      writable: this.writable,
      id: name,
      stats: this.statistics.buffer,
      freezeWord: this.freezeWord.buffer,
    } satisfies DiskThreadSetup);
  }

  /**
   * Opens the disk in `folder` (see createDisk) and starts its thread. Throws TSVMM_E_NOT_FOUND, TSVMM_E_CONFLICT
   * when it is in use, TSVMM_E_DISK_CORRUPT, TSVMM_E_DISK.
   */
  static async open(path: string, options: DiskOptions): Promise<Disk> {
    const folder = await DiskFolder.open(path, { writable: options.readOnly !== true });
    const disk = new Disk(folder, options);
    try {
      const { needsLayer } = await disk.thread.request({ kind: 'open' });
      if (needsLayer) {
        await disk.prepare();
        disk.freeze();
        await disk.seal();
      }
      return disk;
    } catch (error) {
      await disk.abandon();
      throw error;
    }
  }

  /** Rejects when the disk's thread fails: requests that the guest makes from then on are not answered. */
  get ended(): Promise<void> {
    return this.thread.ended;
  }

  async attach(attachment: DeviceAttachment, ram: RamDescriptor): Promise<void> {
    await this.thread.request({ kind: 'attach', attachment, ram });
  }

  async detach(): Promise<void> {
    if (!this.closed) await this.thread.request({ kind: 'detach' });
  }

  get stats(): DiskStatsReport {
    return this.statistics.report();
  }

  /** What the disk is made of now, without a layer prepared for the next freeze. */
  get description(): DiskDescription {
    return this.prepared?.frozen.description ?? this.folder.description;
  }

  /**
   * Makes the layer that the next freeze() puts on top, unless there is one. It becomes part of disk.json at once:
   * being empty, it changes nothing, and so the freeze itself has nothing to write. When layers have become many, it
   * merges some first, which takes as long as copying them. Throws TSVMM_E_DISK.
   */
  prepare(): Promise<void> {
    this.preparing ??= this.prepareLayer().finally(() => {
      this.preparing = undefined;
    });
    return this.preparing;
  }

  /**
   * Freezes the disk as it is: later writes go to the prepared layer. Takes a microsecond, and cannot fail but by
   * TSVMM_E_INTERNAL, when prepare() was left out. The device's lock must be held, or no device be attached.
   */
  freeze(): FrozenDisk {
    if (this.prepared === undefined)
      throw new TsvmmError('TSVMM_E_INTERNAL', `freeze() of ${this.name} without prepare()`);
    const { frozen } = this.prepared;
    this.freezeWord.freeze();
    this.prepared = undefined;
    const top = frozen.description.layers.at(-1);
    if (top !== undefined) this.unsealed.push(top);
    return frozen;
  }

  /** Makes all that was frozen so far durable and final. Throws TSVMM_E_DISK. */
  async seal(): Promise<void> {
    const layers = [...this.unsealed];
    // The kernel writes the data back while the disk's thread goes on serving the guest; then little is left to wait for.
    for (const { file } of layers) await syncData(join(this.folder.path, file));
    await this.thread.request({ kind: 'seal' });
    this.unsealed = this.unsealed.filter(layer => !layers.includes(layer));
  }

  /** Flushes, records that all is in order, ends the thread, unlocks the folder. Throws TSVMM_E_DISK. */
  async close(): Promise<void> {
    try {
      await this.thread.request({ kind: 'close', flush: true });
      await this.thread.stop();
      if (this.prepared !== undefined) {
        const { layer, frozen } = this.prepared;
        await this.folder.save(frozen.description);
        await this.folder.unlinkLayer(layer.file);
      }
    } finally {
      await this.abandon();
    }
  }

  /**
   * Ends the thread and unlocks the folder, which is then fit for nothing but to be removed: what the guest has written
   * last is not brought to stable storage, which could take long. Sealed layers that snapshots share stay whole.
   */
  async discard(): Promise<void> {
    try {
      await this.thread.request({ kind: 'close', flush: false });
    } finally {
      await this.abandon();
    }
  }

  private async prepareLayer(): Promise<void> {
    if (this.prepared !== undefined) return;
    const { folder } = this;
    if (!this.writable)
      throw new TsvmmError('TSVMM_E_INTERNAL', `${this.name} is read-only and cannot be frozen`);
    if (folder.description.layers.length >= MERGE_FROM) await this.mergeSealed();
    if (folder.description.layers.length >= MAXIMUM_LAYERS)
      throw new TsvmmError('TSVMM_E_INTERNAL', `${this.name} was frozen again and again without seal()`);
    const { description } = folder;
    const layer = await folder.createLayer();
    await folder.save({ ...description, layers: [...description.layers, layer] });
    await this.thread.request({ kind: 'prepare', file: layer.file });
    this.prepared = { layer, frozen: { folder: folder.path, description } };
  }

  /**
   * Merges the sealed layers but for the lowest, which is usually the large one, in small pieces between which this
   * thread does its other work. The guest goes on meanwhile, and snapshots keep the layers that they have names for.
   * What is merged cannot change: there is no prepared layer now, so there is no freeze.
   */
  private async mergeSealed(): Promise<void> {
    const { folder } = this;
    const { description } = folder;
    const { layers } = description;
    const [first, end] = [1, layers.length - 1 - this.unsealed.length];
    if (end - first < 2) return;
    const merged = await writeMerged(folder, first, end);
    await folder.save({ ...description, layers: withMerged(layers, first, end, merged) });
    try {
      await this.thread.request({ kind: 'replace', first, end, file: merged.file });
    } catch (error) {
      // The thread still has the old ones, and so must disk.json.
      await folder.save(description);
      throw error;
    }
    for (const { file } of layers.slice(first, end)) await folder.unlinkLayer(file);
  }

  private async abandon(): Promise<void> {
    this.closed = true;
    await this.thread.stop().catch(() => {});
    this.folder.close();
  }
}
