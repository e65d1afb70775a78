import { removeSnapshots } from '../../snapshot/image/remove.ts';
import { snapshotsDirectory } from '../home/layout.ts';
import { narrate } from '../ui/output.ts';
import { resolveSnapshot } from './resolve.ts';

/** `snap rm`. */
export async function remove(names: readonly string[]): Promise<void> {
  removeSnapshots(names.map(resolveSnapshot), snapshotsDirectory());
  for (const name of names) narrate(`removed ${name}`);
}
