import { statSync } from 'node:fs';
import { join } from 'node:path';
import { TsvmmError } from '../../../vmm/errors.ts';
import type { BaseDescription } from '../description.ts';
import { DiskFolder } from '../disk-folder.ts';
import { type LayerId, LayerState } from '../layer-format.ts';
import { openLayer } from '../open-layers.ts';

export interface LayerInfo {
  readonly file: string;
  readonly id: LayerId;
  readonly state: 'live' | 'clean' | 'frozen';
  /** What the guest wrote into the layer, and what it made zero in it. */
  readonly data_bytes: number;
  readonly zero_bytes: number;
  /** Space that the file takes on the host. */
  readonly allocated_bytes: number;
  /** More than one: snapshots or other disks have the layer too. */
  readonly name_count: number;
}

export interface DiskInfo {
  readonly path: string;
  readonly size_bytes: number;
  readonly block_bytes: number;
  readonly base: BaseDescription | null;
  readonly in_use: boolean;
  readonly layers: readonly LayerInfo[];
}

/**
 * What the disk in the folder `path` is made of; of one in use, as of its last flush. Throws TSVMM_E_NOT_FOUND,
 * TSVMM_E_DISK_CORRUPT.
 */
export async function diskInfo(path: string): Promise<DiskInfo> {
  const { size_bytes, block_bytes, base, layers } = await DiskFolder.describe(path);
  return {
    path,
    size_bytes,
    block_bytes,
    base,
    in_use: await isInUse(path),
    layers: layers.map(({ file }) => layerInfo(join(path, file), file)),
  };
}

export const layerStateNames = {
  [LayerState.LIVE]: 'live',
  [LayerState.CLEAN]: 'clean',
  [LayerState.FROZEN]: 'frozen',
} as const;

function layerInfo(path: string, file: string): LayerInfo {
  const layer = openLayer(path, false);
  layer.close();
  const { blockSize } = layer.geometry;
  const { dataBlocks, zeroBlocks } = layer.content();
  const { blocks, nlink } = statSync(path);
  return {
    file,
    id: layer.header.id,
    state: layerStateNames[layer.state],
    data_bytes: dataBlocks * blockSize,
    zero_bytes: zeroBlocks * blockSize,
    // stat(2): always in units of 512 bytes.
    allocated_bytes: blocks * 512,
    name_count: nlink,
  };
}

async function isInUse(path: string): Promise<boolean> {
  try {
    (await DiskFolder.open(path, { writable: false })).close();
    return false;
  } catch (error) {
    if (error instanceof TsvmmError && error.code === 'TSVMM_E_CONFLICT') return true;
    throw error;
  }
}
