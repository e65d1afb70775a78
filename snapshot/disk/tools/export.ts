import { open, rm } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { Segments } from '../../../vmm/devices/virtio/block/segments.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import { MIB } from '../../../vmm/memory/address.ts';
import { describedGeometry } from '../description.ts';
import { DiskFolder } from '../disk-folder.ts';
import { writeAll } from '../durable-files.ts';
import { allocateHostBuffer, type HostBuffer } from '../host-buffer.ts';
import { LayerReader } from '../layer-reader.ts';
import { openLayers } from '../open-layers.ts';
import { Owner } from '../owner-table.ts';
import { succeeded } from '../succeeded.ts';

const PIECE_BYTES = MIB;

export interface ExportOptions {
  /** Only the lowest so many layers: the disk as it was at an earlier freeze. All, if left out. */
  readonly layerCount?: number;
  readonly signal?: AbortSignal;
}

/**
 * Writes what the disk in the folder `path` reads as to the new file `target`: raw, and sparse where the disk has nothing.
 * Returns the number of bytes that hold data. Throws TSVMM_E_CONFLICT when the disk is in use or the target
 * exists, TSVMM_E_DISK, TSVMM_E_DISK_CORRUPT; the target is removed then.
 */
export async function exportDisk(
  path: string,
  target: string,
  { layerCount, signal }: ExportOptions = {},
): Promise<number> {
  const folder = await DiskFolder.open(path, { writable: false });
  try {
    const { description } = folder;
    if (layerCount !== undefined && layerCount > description.layers.length)
      throw new TsvmmError(
        'TSVMM_E_USAGE',
        `the disk has ${description.layers.length} layers, not ${layerCount}`,
      );
    const layers = description.layers.slice(0, layerCount);
    const opened = openLayers(path, { ...description, layers }, { writable: false });
    const reader = new LayerReader(describedGeometry(description), opened.base, opened.layers);
    try {
      return await writeRaw(reader, target, signal);
    } finally {
      reader.close();
    }
  } finally {
    folder.close();
  }
}

async function writeRaw(
  reader: LayerReader,
  target: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  const file = await open(target, 'wx', 0o600).catch((cause: NodeJS.ErrnoException) => {
    const code = cause.code === 'EEXIST' ? 'TSVMM_E_CONFLICT' : 'TSVMM_E_DISK';
    throw new TsvmmError(code, `cannot make ${target}: ${cause.code}`, { cause });
  });
  const buffer = allocateHostBuffer(PIECE_BYTES);
  try {
    const written = await copyRuns(reader, buffer, (bytes, offset) => writeAll(file, bytes, offset), signal);
    await file.truncate(reader.geometry.size);
    await file.sync();
    await file.close();
    return written;
  } catch (error) {
    await file.close().catch(() => {});
    await rm(target, { force: true });
    throw error;
  } finally {
    buffer.free();
  }
}

/** Gives `take` all that somebody owns, piece by piece. */
async function copyRuns(
  reader: LayerReader,
  buffer: HostBuffer,
  take: (bytes: Uint8Array, offset: number) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { blockSize, blockCount, size } = reader.geometry;
  const segments = new Segments(1);
  let written = 0;
  for (let block = 0; block < blockCount; ) {
    const limit = Math.min(block + PIECE_BYTES / blockSize, blockCount);
    const end = reader.owners.runEnd(block, limit);
    if (reader.owners.at(block) !== Owner.NOBODY) {
      const offset = block * blockSize;
      const length = Math.min(end * blockSize, size) - offset;
      segments.clear();
      segments.append(buffer.address, length);
      const result = reader.read(offset, segments, true);
      succeeded(result, 'reading a disk');
      await take(buffer.bytes.subarray(0, length), offset);
      written += length;
      signal?.throwIfAborted();
    }
    block = end;
    if (block % 65_536 === 0) await setImmediate();
  }
  return written;
}
