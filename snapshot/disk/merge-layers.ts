import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { MIB } from '../../vmm/memory/address.ts';
import { HostFile } from './block-file.ts';
import type { LayerDescription } from './description.ts';
import type { DiskFolder } from './disk-folder.ts';
import { createSparseFile } from './durable-files.ts';
import { allocateHostBuffer } from './host-buffer.ts';
import { IoVector } from './io-vector.ts';
import { Layer } from './layer.ts';
import { LayerState, newLayerPieces } from './layer-format.ts';
import { openLayer } from './open-layers.ts';
import { Owner, OwnerTable } from './owner-table.ts';
import { succeeded } from './succeeded.ts';

const PIECE_BYTES = MIB;
const MERGING = 'merging disk layers';

/**
 * Writes the layers [first, end) of a disk, none of which is being written, as one new file with the id of the
 * uppermost, as it shows the same. The layers stay as they are, and so does disk.json: that is the caller's to
 * change. Lets other work go on in between. Throws TSVMM_E_DISK, TSVMM_E_DISK_CORRUPT, with no file left behind.
 */
export async function writeMerged(
  folder: DiskFolder,
  first: number,
  end: number,
  signal?: AbortSignal,
): Promise<LayerDescription> {
  const sources: Layer[] = [];
  const file = await folder.newLayerName();
  const path = join(folder.path, file);
  let target: Layer | undefined;
  try {
    for (const source of folder.description.layers.slice(first, end))
      sources.push(openLayer(join(folder.path, source.file), false));
    const [bottom, top] = [sources[0] as Layer, sources.at(-1) as Layer];
    await createSparseFile(path, newLayerPieces({ ...top.header, parent: bottom.header.parent }));
    target = Layer.open(new HostFile(path, { writable: true }));
    await copyBlocks(sources, target, signal);
    const staysWritable = end === folder.description.layers.length && top.state !== LayerState.FROZEN;
    succeeded(staysWritable ? target.finish() : target.seal(), MERGING);
    return { file, id: top.header.id };
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    target?.close();
    for (const source of sources) source.close();
  }
}

/** What `layers` become when those of [first, end) are replaced by `merged`. */
export const withMerged = (
  layers: readonly LayerDescription[],
  first: number,
  end: number,
  merged: LayerDescription,
): LayerDescription[] => [...layers.slice(0, first), merged, ...layers.slice(end)];

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
