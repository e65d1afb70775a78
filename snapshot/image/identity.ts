import { createHash } from 'node:crypto';
import type { Manifest } from './manifest.ts';

/**
 * What a child records of its parent: a SHA-256 of all that the snapshot means, and of nothing that says how it is stored.
 * So flattening a snapshot leaves its children valid, and whatever else takes its place or changes it does not. A CRC
 * would find accidents, but a manifest made to do harm could name a snapshot that it has never seen.
 */
export function identityOf({ created_at, epoch, vms }: Manifest): string {
  const meaning = vms.map(({ name, memory_bytes, vcpus, state, memory }) => [
    name,
    memory_bytes,
    vcpus,
    [state.bytes, state.crc32],
    [memory.chunk_bytes, memory.checksums.bytes, memory.checksums.crc32],
  ]);
  return createHash('sha256')
    .update(JSON.stringify([created_at, epoch, meaning]))
    .digest('hex');
}
