import { renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { narrate } from '../ui/output.ts';
import { resolveSnapshot } from './resolve.ts';

/** `snap rm`. Disk layers that others need stay: each snapshot has names of its own for them. */
export async function remove(names: readonly string[]): Promise<void> {
  const folders = names.map(name => ({ name, folder: resolveSnapshot(name) }));
  for (const { name, folder } of folders) {
    // By a rename first: a removal that is cut short leaves no damaged snapshot behind.
    const aside = join(dirname(folder), `.${basename(folder)}.${process.pid}.partial`);
    renameSync(folder, aside);
    rmSync(aside, { recursive: true, force: true });
    narrate(`removed ${name}`);
  }
}
