import { TsvmmError } from '../../vmm/errors.ts';
import type { ResolvedCluster } from '../config/resolved.ts';
import type { ClusterDisks } from './parts.ts';

/** Throws TSVMM_E_DISK. */
export async function openDisks(cluster: ResolvedCluster): Promise<ClusterDisks> {
  const owner = cluster.vms.find(vm => vm.disks.length > 0);
  if (owner !== undefined) throw new TsvmmError('TSVMM_E_DISK', `${owner.name}: there are no disks yet`);
  return { createDisks: async () => [], stats: () => ({}), close: async () => {} };
}
