import { join } from 'node:path';
import type { DiskSource } from '../../snapshot/disk/create.ts';
import type { Disk } from '../../snapshot/disk/disk.ts';
import type { SnapshotDisk } from '../../snapshot/machine-snapshotter.ts';
import type { ResolvedCluster, ResolvedDisk, ResolvedVm } from '../config/resolved.ts';
import type { ClusterDisks } from './parts.ts';

/** The disks of a cluster, and what a snapshot needs of them. */
export interface SnapshotDisks extends ClusterDisks {
  disksOf(vm: string): readonly SnapshotDisk[];
}

/** What a disk begins with instead of what the cluster file says: the frozen layers of a snapshot. */
export type DiskOrigin = (vm: string, disk: string) => DiskSource | undefined;

/**
 * The disks of a cluster, each in a folder of its own below `folder`, which is the caller's to remove. Throws
 * TSVMM_E_DISK. `onFailure` is told when a disk's thread has failed, whose guest waits for ever then.
 */
export async function openDisks(
  cluster: ResolvedCluster,
  folder: string,
  origin: DiskOrigin = () => undefined,
  onFailure: (error: Error) => void = () => {},
): Promise<SnapshotDisks> {
  const isNeeded = cluster.vms.some(vm => vm.disks.length > 0);
  if (!isNeeded)
    return { disksOf: () => [], createDisks: async () => [], stats: () => ({}), close: async () => {} };
  const [{ createDisk }, { Disk }] = await Promise.all([
    import('../../snapshot/disk/create.ts'),
    import('../../snapshot/disk/disk.ts'),
  ]);
  const disks = new Map<string, Disk[]>();

  async function open(vm: string, disk: ResolvedDisk, name: string): Promise<Disk> {
    const path = join(folder, vm, name);
    await createDisk(path, origin(vm, name) ?? sourceOf(disk));
    const opened = await Disk.open(path, { name, readOnly: disk.readonly });
    opened.ended.catch(onFailure);
    return opened;
  }

  return {
    disksOf: vm =>
      (disks.get(vm) ?? []).map((disk, i) => (isReadOnly(cluster, vm, i) ? unwritten(disk) : disk)),
    createDisks: async (vm: ResolvedVm) => {
      const opened: Disk[] = [];
      disks.set(vm.name, opened);
      for (const [i, disk] of vm.disks.entries()) opened.push(await open(vm.name, disk, `disk${i}`));
      return opened;
    },
    stats: () => {
      const all = [...disks].flatMap(([vm, list]) =>
        list.map(disk => [`${vm}/${disk.name}`, disk.stats] as const),
      );
      return Object.fromEntries(all);
    },
    close: async () => {
      // Their folders are removed next: there is nothing to flush for.
      const all = [...disks.values()].flatMap(list => list.splice(0));
      await Promise.all(all.map(disk => disk.discard()));
    },
  };
}

const sourceOf = ({ base, size_bytes }: ResolvedDisk): DiskSource =>
  base === undefined ? { size: size_bytes } : { base, size: size_bytes };

/** A disk that nobody writes is its base, whose identity a snapshot keeps: a restore refuses one that has changed since. */
const unwritten = ({ name, description }: Disk): SnapshotDisk => ({
  name,
  prepare: async () => {},
  freeze: () => ({ folder: '', description: { ...description, layers: [] } }),
  seal: async () => {},
});

const isReadOnly = (cluster: ResolvedCluster, vm: string, index: number): boolean =>
  cluster.vms.find(({ name }) => name === vm)?.disks[index]?.readonly ?? false;
