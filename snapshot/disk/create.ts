import { realpathSync } from 'node:fs';
import { alignUp } from '../../vmm/memory/address.ts';
import { HostFile } from './block-file.ts';
import type { BaseDescription, DiskDescription } from './description.ts';
import { DiskFolder } from './disk-folder.ts';
import { diskGeometry, SECTOR_SIZE } from './geometry.ts';
import { baseIdentity } from './open-layers.ts';
import { type FrozenDisk, shareLayers } from './share-layers.ts';

export type DiskSource =
  /** An empty disk of so many bytes. */
  | { readonly size: number }
  /** A raw file that is never written; the disk may be larger. */
  | { readonly base: string; readonly size?: number }
  /** The frozen layers of another disk, or of a snapshot. */
  | { readonly frozen: FrozenDisk };

/**
 * Makes the disk in the folder `path`, which Disk.open then opens. Nothing is left behind when it fails: TSVMM_E_DISK for
 * impossible sizes and unreadable files, TSVMM_E_CONFLICT when the folder is not empty.
 */
export async function createDisk(path: string, source: DiskSource, blockSize?: number): Promise<void> {
  const description = 'frozen' in source ? source.frozen.description : describeNew(source, blockSize);
  const folder = await DiskFolder.create(path, { ...description, layers: [] });
  try {
    const layers =
      'frozen' in source ? (await shareLayers(source.frozen, path)).layers : [await folder.createLayer()];
    await folder.save({ ...description, layers });
    folder.close();
  } catch (error) {
    await folder.remove();
    throw error;
  }
}

function describeNew(source: Exclude<DiskSource, { frozen: unknown }>, blockSize?: number): DiskDescription {
  const base = 'base' in source ? describeBase(source.base) : null;
  const size = source.size ?? alignUp(base?.size_bytes ?? 0, SECTOR_SIZE);
  const geometry = diskGeometry(size, blockSize);
  return {
    format: 'tsvmm-disk',
    version: 1,
    size_bytes: geometry.size,
    block_bytes: geometry.blockSize,
    base,
    layers: [],
  };
}

function describeBase(path: string): BaseDescription {
  const file = new HostFile(path, { writable: false });
  const identity = baseIdentity(file);
  file.close();
  return { path: realpathSync(path), size_bytes: identity.size, modified_ns: String(identity.modified_ns) };
}
