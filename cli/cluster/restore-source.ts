import { join } from 'node:path';
import * as v from 'valibot';
import type { ChannelState } from '../../snapshot/cluster/channel.ts';
import { decodeChannel } from '../../snapshot/cluster/channel-file.ts';
import type { DiskSource } from '../../snapshot/disk/create.ts';
import { readChain, type SnapshotChain } from '../../snapshot/image/chain.ts';
import { identityOf } from '../../snapshot/image/identity.ts';
import { lockSnapshot, type SnapshotLock } from '../../snapshot/image/lock.ts';
import { parseWith } from '../../snapshot/image/manifest.ts';
import type { Ancestor } from '../../snapshot/image/parent.ts';
import { SnapshotReader } from '../../snapshot/image/reader.ts';
import { corrupt } from '../../snapshot/image/struct-codec.ts';
import type { RestoreThreads } from '../../snapshot/restore/restore-threads.ts';
import { type RestoreOptions, restoredSoftware } from '../../snapshot/restore/restored-software.ts';
import type { MachineSoftware } from '../../vmm/machine-parts.ts';
import type { ResolvedCluster } from '../config/resolved.ts';
import { resolveSnapshot } from '../snapshot/resolve.ts';
import { type CloneChanges, cloneOf } from './clone.ts';
import type { ClusterSource } from './snapshots.ts';

const sourceSchema = v.strictObject({
  file: v.pipe(v.string(), v.maxLength(4096)),
  text: v.pipe(v.string(), v.maxLength(1024 * 1024)),
});

/** What is asked of `tsvmm restore`. */
export interface RestoreRequest extends CloneChanges {
  /** "cluster/name", or a folder. */
  readonly snapshot: string;
  readonly lazy: boolean;
  /** Move the guests' clocks on by the time since the cut. */
  readonly advanceClock: boolean;
}

/** A snapshot, as the parts of a cluster take it. Nobody removes it until release(). */
export class RestoreSource {
  readonly source: ClusterSource;
  private readonly chain: SnapshotChain;
  private readonly locks: readonly SnapshotLock[];
  private readonly request: RestoreRequest;
  private readonly options: RestoreOptions;

  /** Throws TSVMM_E_NOT_FOUND, TSVMM_E_CONFLICT while it is being removed, TSVMM_E_SNAPSHOT_CORRUPT. */
  static open(request: RestoreRequest, onDamage: (error: Error) => void): RestoreSource {
    const locks: SnapshotLock[] = [];
    try {
      const read = () => readChain(new SnapshotReader(resolveSnapshot(request.snapshot)));
      for (const { folder } of read()) locks.push(lockSnapshot(folder, 'shared'));
      // Again, as until now any of them might have been flattened.
      return new RestoreSource(read(), locks, request, onDamage);
    } catch (error) {
      for (const lock of locks) lock.release();
      throw error;
    }
  }

  private constructor(
    chain: SnapshotChain,
    locks: readonly SnapshotLock[],
    request: RestoreRequest,
    onDamage: (error: Error) => void,
  ) {
    this.chain = chain;
    this.locks = locks;
    this.request = request;
    const { lazy, newMacs, advanceClock } = request;
    const { configuration, cut_realtime_us } = this.manifest;
    this.source = parseWith(sourceSchema, configuration, 'manifest.json: configuration');
    const elapsed_ns = advanceClock ? timeSince(cut_realtime_us) : undefined;
    this.options = { lazy, onDamage, newMacs, ...(elapsed_ns === undefined ? {} : { elapsed_ns }) };
  }

  /** The name under which the snapshot's cluster ran. */
  get cluster(): string {
    return this.manifest.cluster;
  }

  get epoch(): number {
    return this.manifest.epoch;
  }

  /** What incremental snapshots of the restored cluster may build on. */
  get ancestor(): Ancestor {
    return { folder: this.chain[0].folder, identity: identityOf(this.manifest) };
  }

  /**
   * The cluster as the snapshot has it, without VMs that had ended before, and with what was asked to be otherwise. Throws
   * TSVMM_E_USAGE, TSVMM_E_SNAPSHOT_CORRUPT.
   */
  adapt(config: ResolvedCluster): ResolvedCluster {
    const macs = new Map(this.manifest.vms.map(vm => [vm.name, vm.macs]));
    const vms = config.vms.filter(vm => macs.has(vm.name));
    if (vms.length < macs.size)
      throw corrupt('manifest.json', 'has a VM that its cluster file does not know');
    return cloneOf({ ...config, vms }, macs, this.request);
  }

  software(vm: string, threads: RestoreThreads): MachineSoftware {
    return restoredSoftware(this.chain, vm, { ...this.options, threads });
  }

  disk(vm: string, disk: string): DiskSource | undefined {
    const [reader] = this.chain;
    const found = reader.vm(vm).disks.find(({ name }) => name === disk);
    if (found === undefined) return undefined;
    return { frozen: { folder: join(reader.folder, found.path), description: found.description } };
  }

  /** The frames that were in flight at the cut. */
  channel(): ChannelState {
    const { manifest } = this;
    const ports = new Set(manifest.vms.flatMap(({ ports }) => ports));
    return decodeChannel(this.chain[0].file(manifest.channel), { epoch: manifest.epoch, ports });
  }

  /** All of its files that are still needed are open. Idempotent. */
  release(): void {
    for (const lock of this.locks) lock.release();
  }

  private get manifest() {
    return this.chain[0].manifest;
  }
}

/**
 * What the clock on the wall has moved on since `realtime_us`: by one and the same reading at its first call, and by the
 * monotonic clock after it, so that all guests of a cluster agree. Never negative.
 */
function timeSince(realtime_us: number): () => bigint {
  let first: { readonly elapsed_ns: bigint; readonly at_ns: bigint } | undefined;
  return () => {
    const now_ns = process.hrtime.bigint();
    first ??= {
      elapsed_ns: BigInt(Math.max(0, Math.round(Date.now() * 1000 - realtime_us))) * 1000n,
      at_ns: now_ns,
    };
    return first.elapsed_ns + now_ns - first.at_ns;
  };
}
