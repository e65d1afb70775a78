import { dirname, join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { identityOf } from './identity.ts';
import { MAXIMUM_CHAIN, type Manifest, type ManifestVm, type ParentReference } from './manifest.ts';
import { closeMemorySource, type MemoryImage, type MemorySource } from './memory-source.ts';
import { SnapshotReader } from './reader.ts';
import { corrupt } from './struct-codec.ts';

/** A snapshot and those that it builds on, newest first. */
export type SnapshotChain = readonly [SnapshotReader, ...SnapshotReader[]];

/** Where a parent is looked for: beside its child, or, if of another cluster, beside the folder of the child's. */
export function parentFolder(folder: string, { cluster }: Manifest, parent: ParentReference): string {
  const siblings = dirname(folder);
  return parent.cluster === cluster
    ? join(siblings, parent.name)
    : join(dirname(siblings), parent.cluster, parent.name);
}

/**
 * Follows a snapshot's parents to the one that needs none. Throws TSVMM_E_SNAPSHOT_CORRUPT when one of them is not there, is not
 * what its child was made from, or does not fit it, and for more than MAXIMUM_CHAIN.
 */
export function readChain(reader: SnapshotReader): SnapshotChain {
  const chain: [SnapshotReader, ...SnapshotReader[]] = [reader];
  for (let last = reader; last.manifest.parent !== null; chain.push(last)) {
    if (chain.length === MAXIMUM_CHAIN)
      throw corrupt('manifest.json', `builds on more than ${MAXIMUM_CHAIN - 1} other snapshots`);
    last = readParent(last, last.manifest.parent);
  }
  return chain;
}

function readParent(child: SnapshotReader, reference: ParentReference): SnapshotReader {
  const name = `${reference.cluster}/${reference.name}`;
  let parent: SnapshotReader;
  try {
    parent = new SnapshotReader(parentFolder(child.folder, child.manifest, reference));
  } catch (cause) {
    if (!(cause instanceof TsvmmError) || cause.code !== 'TSVMM_E_NOT_FOUND') throw cause;
    throw new TsvmmError(
      'TSVMM_E_SNAPSHOT_CORRUPT',
      `the snapshot ${child.manifest.name} builds on ${name}, which is not there`,
      {
        hint: 'bring it back to where it was: a snapshot that was taken with --incremental needs its parent',
        cause,
      },
    );
  }
  if (identityOf(parent.manifest) !== reference.identity)
    throw corrupt(name, `is not the snapshot from which ${child.manifest.name} was made`);
  for (const vm of child.manifest.vms) requireFit(parent.manifest.vms, vm, name);
  return parent;
}

function requireFit(parents: readonly ManifestVm[], vm: ManifestVm, parentName: string): void {
  const other = parents.find(({ name }) => name === vm.name);
  if (other === undefined) throw corrupt(parentName, `has no VM ${vm.name}, as its child has`);
  if (other.memory.bytes !== vm.memory.bytes || other.memory.chunk_bytes !== vm.memory.chunk_bytes)
    throw corrupt(parentName, `has memory or chunks of another size for ${vm.name} than its child`);
}

/** Opens a VM's memory; the caller closes it by closeMemorySource(). Throws TSVMM_E_SNAPSHOT_CORRUPT. */
export function openMemorySource(chain: SnapshotChain, name: string): MemorySource {
  const [own] = chain;
  const vm = own.vm(name);
  const { chunks, working_set } = own.checksums(vm);
  const images: MemoryImage[] = [];
  const source: MemorySource = {
    length: vm.memory.bytes,
    chunkSize: vm.memory.chunk_bytes,
    chunks,
    workingSet: working_set.filter(chunk => chunk < chunks.length),
    images,
  };
  try {
    for (const reader of chain) images.push(reader.openMemory(reader.vm(name)));
    return source;
  } catch (error) {
    closeMemorySource(source);
    throw error;
  }
}
