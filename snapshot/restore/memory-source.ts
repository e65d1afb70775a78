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
  /** Chunks to be loaded first. */
  readonly workingSet: readonly number[];
}

export interface LoadTarget {
  readonly address: Hva;
  readonly length: number;
}

/** Opens a VM's memory; the caller closes `fd`. Throws TSVMM_E_SNAPSHOT_CORRUPT. */
export function memorySource(reader: SnapshotReader, vm: ManifestVm): MemorySource {
  const { chunks, working_set } = reader.checksums(vm);
  return {
    fd: reader.openMemory(vm),
    length: vm.memory.bytes,
    chunkSize: vm.memory.chunk_bytes,
    chunks,
    workingSet: working_set.filter(chunk => chunk < chunks.length),
  };
}
