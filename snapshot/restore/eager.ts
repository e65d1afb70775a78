import { type Hva, hvaOffset } from '../../vmm/memory/address.ts';
import { ChunkReader } from '../image/chunk-reader.ts';
import type { MemorySource } from '../image/memory-source.ts';
import { corrupt } from '../image/struct-codec.ts';

export interface LoadTarget {
  readonly address: Hva;
  readonly length: number;
}

/**
 * Reads all of a snapshot's memory into fresh (zero) RAM, checking each chunk. Answers the bytes read. Throws
 * TSVMM_E_SNAPSHOT_CORRUPT.
 */
export function loadEagerly(source: MemorySource, target: LoadTarget): number {
  requireSameSize(source, target);
  const reader = new ChunkReader(source);
  let bytes = 0;
  try {
    for (const chunk of source.chunks.keys()) {
      if (reader.isZero(chunk)) continue;
      reader.read(chunk, hvaOffset(target.address, chunk * source.chunkSize), { isZeroed: true });
      bytes += reader.chunkLength(chunk);
    }
  } finally {
    reader.free();
  }
  return bytes;
}

/** What would be written beyond the target is not the guest's. */
export function requireSameSize(source: MemorySource, target: LoadTarget): void {
  if (source.length === target.length) return;
  throw corrupt('memory.img', `has ${source.length} bytes for a VM of ${target.length}`);
}
