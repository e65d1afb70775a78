import type { Hva } from '../../vmm/memory/address.ts';
import type { ManifestVm } from '../image/manifest.ts';
import type { SnapshotReader } from '../image/reader.ts';

/** RAM of a snapshot, as data that can cross to the thread that loads it. */
export interface MemorySource {
  readonly fd: number;
  readonly length: number;
  readonly chunkSize: number;
  /** CRC-32 of each chunk, null for one that is all zero. */
  readonly chunks: readonly (number | null)[];
}

export interface LoadTarget {
  readonly address: Hva;
  readonly length: number;
}

export const memorySource = (reader: SnapshotReader, vm: ManifestVm): MemorySource => ({
  fd: reader.openMemory(vm),
  length: vm.memory.bytes,
  chunkSize: vm.memory.chunk_bytes,
  chunks: reader.checksums(vm).chunks,
});
