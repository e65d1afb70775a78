import { crc32 } from 'node:zlib';
import { checked } from '../../vmm/ffi/errno.ts';
import { pread } from '../../vmm/ffi/libc.ts';
import { hvaOffset } from '../../vmm/memory/address.ts';
import { bytesAt } from '../../vmm/memory/native.ts';
import { corrupt } from '../image/struct-codec.ts';
import type { LoadTarget, MemorySource } from './memory-source.ts';

/**
 * Reads all of a snapshot's memory into fresh (zero) RAM, checking each chunk. Answers the bytes read. Throws
 * TSVMM_E_SNAPSHOT_CORRUPT.
 */
export function loadEagerly(source: MemorySource, target: LoadTarget): number {
  requireSameSize(source, target);
  let bytes = 0;
  for (const [chunk, expected] of source.chunks.entries()) {
    if (expected === null) continue;
    const offset = chunk * source.chunkSize;
    const length = Math.min(source.chunkSize, source.length - offset);
    readFully(source.fd, hvaOffset(target.address, offset), length, offset);
    if (crc32(bytesAt(target.address, length, offset)) !== expected) {
      throw corrupt('memory.img', `has a wrong checksum in chunk ${chunk}`);
    }
    bytes += length;
  }
  return bytes;
}

/** What would be written beyond the target is not the guest's. */
export function requireSameSize(source: MemorySource, target: LoadTarget): void {
  if (source.length === target.length) return;
  throw corrupt('memory.img', `has ${source.length} bytes for a VM of ${target.length}`);
}

export function readFully(fd: number, to: LoadTarget['address'], length: number, offset: number): void {
  for (let done = 0; done < length; ) {
    const count = checked(pread(fd, hvaOffset(to, done), length - done, offset + done), 'read of memory.img');
    if (count === 0) throw corrupt('memory.img', 'is truncated');
    done += count;
  }
}
