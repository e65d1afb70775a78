import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { checked, errno } from '../../vmm/ffi/errno.ts';
import { flock, LOCK } from '../../vmm/ffi/libc.ts';
import {
  type DiskDescription,
  describedBase,
  describedGeometry,
  type LayerDescription,
  parseDescription,
} from './description.ts';
import { createSparseFile, diskError, replaceFile } from './durable-files.ts';
import { type LayerId, NO_LAYER, newLayerPieces } from './layer-format.ts';

const DESCRIPTION = 'disk.json';
const LOCK_FILE = 'lock';
/** Names that we give: all that is ever removed. */
const LAYER_NAME = /^(\d+)\.layer$/;

/**
 * The folder of one disk: disk.json, the layer files it names, and a lock file. Whoever changes anything in it holds
 * the lock exclusively (flock(2) on an open file: the kernel gives it back however the process ends); whoever reads
 * layers that may be changing holds it shared. disk.json is replaced by rename, and names only files that are
 * complete; a file that it does not name is left over from a crash, and removed by the next writer.
 */
export class DiskFolder {
  readonly path: string;
  description: DiskDescription;
  private lock: number | undefined;

  private constructor(path: string, lock: number, description: DiskDescription) {
    this.path = path;
    this.lock = lock;
    this.description = description;
  }

  /**
   * Makes the folder of a new disk. Throws TSVMM_E_CONFLICT when there is one already.
   */
  static async create(path: string, description: DiskDescription): Promise<DiskFolder> {
    await mkdir(path, { recursive: true, mode: 0o700 }).catch(cause => {
      throw diskError(`cannot make ${path}`, cause);
    });
    const lock = lockFolder(path, LOCK.EXCLUSIVE);
    const folder = new DiskFolder(path, lock, description);
    try {
      const names = await readdir(path);
      if (!names.every(name => name === LOCK_FILE || isLeftover(name))) {
        const what = names.includes(DESCRIPTION) ? 'holds a disk already' : 'is not empty';
        throw new TsvmmError('TSVMM_E_CONFLICT', `${path} ${what}`, {
          hint: 'choose another folder, or remove that one first',
        });
      }
      await folder.removeLeftovers();
      return folder;
    } catch (error) {
      folder.close();
      throw error;
    }
  }

  /**
   * Opens the folder of an existing disk. Throws TSVMM_E_NOT_FOUND, TSVMM_E_CONFLICT when it is in use, or
   * TSVMM_E_DISK_CORRUPT.
   */
  static async open(path: string, { writable }: { writable: boolean }): Promise<DiskFolder> {
    await readDescription(path);
    const lock = lockFolder(path, writable ? LOCK.EXCLUSIVE : LOCK.SHARED);
    try {
      // Again, now that nobody can change it.
      const description = parseDescription(await readDescription(path), join(path, DESCRIPTION));
      const folder = new DiskFolder(path, lock, description);
      if (writable) await folder.removeLeftovers();
      return folder;
    } catch (error) {
      closeSync(lock);
      throw error;
    }
  }

  /** Reads the description without any lock, as information: it may change at any time. */
  static async describe(path: string): Promise<DiskDescription> {
    return parseDescription(await readDescription(path), join(path, DESCRIPTION));
  }

  /** Makes `description` the one that counts; on stable storage when this settles. */
  async save(description: DiskDescription): Promise<void> {
    await replaceFile(join(this.path, DESCRIPTION), `${JSON.stringify(description, null, 2)}\n`);
    this.description = description;
  }

  /** Makes a new, empty layer file that fits on top; save() gives it its place. */
  async createLayer(id: LayerId = newLayerId()): Promise<LayerDescription> {
    const { description } = this;
    const file = await this.newLayerName();
    const parent = description.layers.at(-1)?.id ?? NO_LAYER;
    const header = { id, parent, base: describedBase(description), geometry: describedGeometry(description) };
    await createSparseFile(join(this.path, file), newLayerPieces(header));
    return { file, id };
  }

  /** A name for a layer file that no file here has. */
  async newLayerName(): Promise<string> {
    const numbers = (await readdir(this.path)).map(name => Number(LAYER_NAME.exec(name)?.[1] ?? 0));
    return `${Math.max(0, ...numbers) + 1}.layer`;
  }

  /** Removes a layer file's name here. Names that snapshots have for it, and so its content, stay. */
  async unlinkLayer(file: string): Promise<void> {
    await unlink(join(this.path, file));
  }

  /** Removes the folder with all that is in it; snapshots keep their own names for the layers they need. */
  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    this.close();
  }

  /** Gives the lock back. */
  close(): void {
    if (this.lock !== undefined) closeSync(this.lock);
    this.lock = undefined;
  }

  private async removeLeftovers(): Promise<void> {
    const named = new Set(this.description.layers.map(({ file }) => file));
    for (const name of await readdir(this.path)) {
      if (isLeftover(name) && !named.has(name)) await unlink(join(this.path, name));
    }
  }
}

const isLeftover = (name: string): boolean => LAYER_NAME.test(name) || name === `${DESCRIPTION}.new`;

export const newLayerId = (): LayerId => randomBytes(16).toString('hex');

async function readDescription(path: string): Promise<string> {
  try {
    return await readFile(join(path, DESCRIPTION), 'utf8');
  } catch (cause) {
    throw new TsvmmError('TSVMM_E_NOT_FOUND', `${path} holds no disk`, {
      hint: 'give the folder that tsvmm disk create made',
      cause,
    });
  }
}

function lockFolder(path: string, kind: number): number {
  const fd = openLock(join(path, LOCK_FILE), kind);
  const result = flock(fd, kind | LOCK.NONBLOCK);
  if (result === 0) return fd;
  closeSync(fd);
  if (result !== -errno.EWOULDBLOCK) checked(result, 'flock');
  throw new TsvmmError('TSVMM_E_CONFLICT', `the disk in ${path} is in use`, {
    hint: 'stop the cluster that runs on it first (tsvmm ps shows which)',
  });
}

/** A reader of a disk on a read-only file system makes do with the lock file that is there. */
function openLock(path: string, kind: number): number {
  try {
    return openSync(path, 'a', 0o600);
  } catch (cause) {
    if (kind === LOCK.SHARED && existsSync(path)) return openSync(path, 'r');
    throw diskError(`cannot lock ${path}`, cause);
  }
}
