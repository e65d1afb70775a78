import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { TsvmmError } from '../../../vmm/errors.ts';
import { MIB } from '../../../vmm/memory/address.ts';
import { HostFile } from '../block-file.ts';
import { DiskFolder } from '../disk-folder.ts';
import { createSparseFile } from '../durable-files.ts';
import { allocateHostBuffer } from '../host-buffer.ts';
import { IoVector } from '../io-vector.ts';
import { Layer } from '../layer.ts';
import { LayerState, newLayerPieces } from '../layer-format.ts';
import { openLayers } from '../open-layers.ts';
import { Owner, OwnerTable } from '../owner-table.ts';
import { succeeded } from '../succeeded.ts';

const PIECE_BYTES = MIB;
const MERGING = 'merging disk layers';

export interface MergeOptions {
  /** Positions from the bottom, counted from 0; all layers if left out. */
  readonly first?: number;
  readonly last?: number;
  readonly signal?: AbortSignal;
}

/**
 * Puts adjacent layers of the disk in the folder `path` into one, with the id of the uppermost, as it shows the same.
 * The merged layer is a new file: the old ones are never written, and only lose their names here, after disk.json
 * names the new one; so a snapshot that has names for them keeps them, and a crash leaves either all or none.
 *
 * Throws TSVMM_E_NOT_FOUND, TSVMM_E_CONFLICT when the disk is in use, TSVMM_E_USAGE, TSVMM_E_DISK, TSVMM_E_DISK_CORRUPT.
 */
export async function mergeLayers(
  path: string,
  { first = 0, last, signal }: MergeOptions = {},
): Promise<void> {
  const folder = await DiskFolder.open(path, { writable: true });
  try {
    const { layers } = folder.description;
    const end = (last ?? layers.length - 1) + 1;
    if (
      !Number.isInteger(first) ||
      !Number.isInteger(end) ||
      first < 0 ||
      end > layers.length ||
      end - first < 2
    ) {
      throw new TsvmmError(
        'TSVMM_E_USAGE',
        `layers ${first} to ${end - 1} of ${layers.length} cannot be merged`,
        {
          hint: 'name two or more layers that the disk has; see tsvmm disk info',
        },
      );
    }
    const file = await writeMerged(folder, first, end, signal);
    const merged = { file, id: (layers[end - 1] as (typeof layers)[number]).id };
    const remaining = [...layers.slice(0, first), merged, ...layers.slice(end)];
    await folder.save({ ...folder.description, layers: remaining });
    for (const { file } of layers.slice(first, end)) await folder.unlinkLayer(file);
  } finally {
    folder.close();
  }
}

/** Writes the layers [first, end) as one new file and returns its name. */
async function writeMerged(
  folder: DiskFolder,
  first: number,
  end: number,
  signal?: AbortSignal,
): Promise<string> {
  const opened = openLayers(folder.path, folder.description, { writable: false });
  const sources = opened.layers.slice(first, end);
  const [bottom, top] = [sources[0] as Layer, sources.at(-1) as Layer];
  const file = await folder.newLayerName();
  const path = join(folder.path, file);
  let target: Layer | undefined;
  try {
    await createSparseFile(path, newLayerPieces({ ...top.header, parent: bottom.header.parent }));
    target = Layer.open(new HostFile(path, { writable: true }));
    await copyBlocks(sources, target, signal);
    const isTop = end === opened.layers.length;
    const result = isTop && top.state !== LayerState.FROZEN ? target.finish() : target.seal();
    succeeded(result, MERGING);
    return file;
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    target?.close();
    opened.base?.close();
    for (const layer of opened.layers) layer.close();
  }
}

async function copyBlocks(sources: readonly Layer[], target: Layer, signal?: AbortSignal): Promise<void> {
  const { geometry, map } = target;
  const { blockSize, blockCount } = geometry;
  const owners = new OwnerTable(geometry, 0);
  for (const [position, layer] of sources.entries()) {
    owners.lay(layer, position);
    layer.forEachRun((from, to, state) => map?.set(from, to, state));
  }
  const vector = new IoVector(1);
  const buffer = allocateHostBuffer(PIECE_BYTES);
  target.dataDirty = true;
  try {
    for (let block = 0; block < blockCount; ) {
      const end = owners.runEnd(block, Math.min(block + PIECE_BYTES / blockSize, blockCount));
      const source = sources[owners.at(block) - Owner.FIRST_LAYER];
      if (source !== undefined) {
        const length = (end - block) * blockSize;
        vector.setOne(buffer.address, length);
        succeeded(source.file.read(vector, block * blockSize, true), MERGING);
        vector.setOne(buffer.address, length);
        succeeded(target.file.write(vector, block * blockSize), MERGING);
        signal?.throwIfAborted();
        await setImmediate();
      }
      block = end;
    }
  } finally {
    vector.free();
    buffer.free();
  }
}
