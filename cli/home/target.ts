import { TsvmmError } from '../../vmm/errors.ts';
import { findCluster, type RunningEntry } from './running.ts';

/** A running cluster, and perhaps one VM of it, from CLUSTER, CLUSTER/VM, or nothing. Throws as findCluster does. */
export async function findTarget(text: string | undefined): Promise<{ entry: RunningEntry; vm?: string }> {
  const [cluster, vm, ...more] = text?.split('/') ?? [];
  if (more.length > 0 || cluster === '' || vm === '') {
    throw new TsvmmError('TSVMM_E_USAGE', `"${text}" is neither CLUSTER nor CLUSTER/VM`);
  }
  const entry = await findCluster(cluster);
  return vm === undefined ? { entry } : { entry, vm };
}
