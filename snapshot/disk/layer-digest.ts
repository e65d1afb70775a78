import { setImmediate } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { MIB } from '../../vmm/memory/address.ts';
import { corrupt } from './corrupt.ts';
import { BlockState } from './layer-format.ts';
import { openLayer } from './open-layers.ts';

const PIECE_BYTES = MIB;
const known = new Map<string, Promise<LayerDigest>>();

export interface LayerDigest {
  /** CRC-32 over the layer's identity, map and data. */
  readonly crc32: number;
  readonly data_bytes: number;
}

/**
 * The checksum of all that a frozen layer holds: taken when a snapshot is published, compared when it is verified.
 * Reads all its data, letting other work go on in between. Throws TSVMM_E_DISK_CORRUPT, TSVMM_E_DISK.
 */
export async function digestLayer(path: string): Promise<LayerDigest> {
  const layer = openLayer(path, false);
  try {
    const { blockSize } = layer.geometry;
    const runs: { first: number; end: number; state: BlockState }[] = [];
    layer.forEachRun((first, end, state) => runs.push({ first, end, state }));
    const piece = new Uint8Array(PIECE_BYTES);
    let checksum = crc32(layer.header.id);
    let data_bytes = 0;
    for (const { first, end, state } of runs) {
      checksum = crc32(`${first}-${end}:${state};`, checksum);
      if (state !== BlockState.DATA) continue;
      for (let at = first * blockSize; at < end * blockSize; at += PIECE_BYTES) {
        const bytes = piece.subarray(0, Math.min(PIECE_BYTES, end * blockSize - at));
        if (layer.file.readAt(bytes, at) !== bytes.length) throw corrupt(path, 'truncated');
        checksum = crc32(bytes, checksum);
        data_bytes += bytes.length;
        await setImmediate();
      }
    }
    return { crc32: checksum, data_bytes };
  } finally {
    layer.close();
  }
}

/**
 * The same, remembered: a snapshot must not read all that earlier snapshots have read. A layer's id and map settle its
 * content, so they are what is looked up. For verifying it is of no use.
 */
export function knownDigest(path: string): Promise<LayerDigest> {
  const layer = openLayer(path, false);
  layer.close();
  const key = `${layer.header.id} ${layer.recordedChecksum}`;
  const digest = known.get(key) ?? digestLayer(path);
  known.set(key, digest);
  digest.catch(() => known.delete(key));
  return digest;
}
