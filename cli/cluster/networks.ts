import { TsvmmError } from '../../vmm/errors.ts';
import type { ResolvedCluster } from '../config/resolved.ts';
import type { ClusterNetworks } from './parts.ts';

/** Throws TSVMM_E_NET, TSVMM_E_NET_PERMISSION. */
export async function openNetworks(cluster: ResolvedCluster): Promise<ClusterNetworks> {
  const nic = cluster.vms.find(vm => vm.nets.length > 0);
  if (nic !== undefined) throw new TsvmmError('TSVMM_E_NET', `${nic.name}: there are no networks yet`);
  return { createNics: async () => [], stats: () => ({}), close: async () => {} };
}
