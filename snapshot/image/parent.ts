import { basename, dirname } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { openMemorySource, readChain, type SnapshotChain } from './chain.ts';
import { identityOf } from './identity.ts';
import { lockSnapshot, type SnapshotLock } from './lock.ts';
import { MAXIMUM_CHAIN, type ParentReference } from './manifest.ts';
import { closeMemorySource, type MemorySource } from './memory-source.ts';
import { SnapshotReader } from './reader.ts';

/** A snapshot that may become a parent, and what it was when it was made or restored. */
export interface Ancestor {
  readonly folder: string;
  readonly identity: string;
}

/** What the child will be, as far as its parent must be the same. */
export interface ChildShape {
  readonly cluster: string;
  /** Where the child's cluster has its snapshots. */
  readonly siblings: string;
  readonly chunkSize: number;
  readonly vms: ReadonlyMap<string, { readonly memory_bytes: number }>;
}

/** The snapshot on which one that is being made builds. Nobody can remove it until close(). */
export class ParentSnapshot {
  readonly reference: ParentReference;
  private readonly chain: SnapshotChain;
  private readonly lock: SnapshotLock;
  private readonly opened: MemorySource[] = [];

  /**
   * The first of the ancestors that is still there, is what it was, and fits the child; undefined when none is or does,
   * or its chain has become too long: then the child has to stand alone.
   */
  static find(ancestors: readonly Ancestor[], shape: ChildShape): ParentSnapshot | undefined {
    for (const ancestor of ancestors) {
      const lock = lockIfThere(ancestor.folder);
      if (lock === undefined) continue;
      const chain = chainOf(ancestor);
      if (chain !== undefined && fits(chain, shape)) return new ParentSnapshot(chain, lock, ancestor, shape);
      lock.release();
      if (chain !== undefined) return undefined;
    }
    return undefined;
  }

  private constructor(chain: SnapshotChain, lock: SnapshotLock, ancestor: Ancestor, shape: ChildShape) {
    const { folder, identity } = ancestor;
    this.chain = chain;
    this.lock = lock;
    const cluster = dirname(folder) === shape.siblings ? shape.cluster : basename(dirname(folder));
    this.reference = { cluster, name: basename(folder), identity };
  }

  /** Open until close(). Throws TSVMM_E_SNAPSHOT_CORRUPT. */
  memory(vm: string): MemorySource {
    const source = openMemorySource(this.chain, vm);
    this.opened.push(source);
    return source;
  }

  /** Idempotent. */
  close(): void {
    for (const source of this.opened.splice(0)) closeMemorySource(source);
    this.lock.release();
  }
}

function lockIfThere(folder: string): SnapshotLock | undefined {
  try {
    return lockSnapshot(folder, 'shared');
  } catch (error) {
    if (error instanceof TsvmmError) return undefined;
    throw error;
  }
}

/** Undefined for one that is damaged, or another snapshot of the same name. */
function chainOf({ folder, identity }: Ancestor): SnapshotChain | undefined {
  try {
    const reader = new SnapshotReader(folder);
    return identityOf(reader.manifest) === identity ? readChain(reader) : undefined;
  } catch (error) {
    if (error instanceof TsvmmError) return undefined;
    throw error;
  }
}

function fits(chain: SnapshotChain, { siblings, chunkSize, vms }: ChildShape): boolean {
  const [parent] = chain;
  const folder = dirname(parent.folder);
  if (folder !== siblings && dirname(folder) !== dirname(siblings)) return false;
  if (chain.length >= MAXIMUM_CHAIN) return false;
  return [...vms].every(([name, { memory_bytes }]) => {
    const memory = parent.manifest.vms.find(vm => vm.name === name)?.memory;
    return memory?.bytes === memory_bytes && memory.chunk_bytes === chunkSize;
  });
}
