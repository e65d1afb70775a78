import { join } from 'node:path';
import { createDisk, type DiskSource } from '../../snapshot/disk/create.ts';
import { describedGeometry } from '../../snapshot/disk/description.ts';
import { DiskFolder } from '../../snapshot/disk/disk-folder.ts';
import { DiskStats } from '../../snapshot/disk/disk-stats.ts';
import { FreezeWord } from '../../snapshot/disk/freeze-word.ts';
import { LayerState } from '../../snapshot/disk/layer-format.ts';
import { LayeredDisk } from '../../snapshot/disk/layered-disk.ts';
import { openLayer, openLayers } from '../../snapshot/disk/open-layers.ts';
import { DiskUser } from './disk-user.ts';

/** A disk in a folder, used by the calling thread itself, without device and worker. */
export class DiskRig {
  readonly folder: DiskFolder;
  readonly stats = new DiskStats();
  readonly freezeWord = new FreezeWord();
  readonly disk: LayeredDisk;
  readonly user: DiskUser;

  private constructor(folder: DiskFolder, writable: boolean) {
    this.folder = folder;
    const { base, layers } = openLayers(folder.path, folder.description, { writable });
    this.disk = new LayeredDisk({
      geometry: describedGeometry(folder.description),
      base,
      layers,
      writable,
      stats: this.stats,
      freezeWord: this.freezeWord,
    });
    this.user = new DiskUser(this.disk);
    const top = layers.at(-1);
    if (writable && top !== undefined && top.state !== LayerState.FROZEN) top.startWriting();
  }

  static async create(path: string, source: DiskSource, blockSize?: number): Promise<DiskRig> {
    await createDisk(path, source, blockSize);
    return DiskRig.open(path);
  }

  static async open(path: string, { writable = true } = {}): Promise<DiskRig> {
    const folder = await DiskFolder.open(path, { writable });
    try {
      return new DiskRig(folder, writable);
    } catch (error) {
      folder.close();
      throw error;
    }
  }

  /** Puts a new layer on top; the one below is sealed with the next seal(). */
  async freeze(): Promise<void> {
    const { folder } = this;
    const layer = await folder.createLayer();
    await folder.save({ ...folder.description, layers: [...folder.description.layers, layer] });
    this.disk.prepare(openLayer(join(folder.path, layer.file), true));
    this.freezeWord.freeze();
    this.disk.enter();
  }

  /** Closes in order. */
  close(): void {
    this.disk.finish();
    this.drop();
  }

  /** Leaves everything as it is, as the end of the process would. */
  drop(): void {
    this.disk.close();
    this.user.free();
    this.folder.close();
  }
}
