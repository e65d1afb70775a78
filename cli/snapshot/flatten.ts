import { flattenSnapshot } from '../../snapshot/image/flatten.ts';
import { narrate } from '../ui/output.ts';
import { resolveSnapshot } from './resolve.ts';
import { mebibytes } from './tables.ts';

/** `snap flatten`. */
export async function flatten(names: readonly string[]): Promise<void> {
  const folders = names.map(name => ({ name, folder: resolveSnapshot(name) }));
  for (const { name, folder } of folders) {
    const bytes = await flattenSnapshot(folder);
    narrate(
      bytes === undefined
        ? `${name} stood alone already`
        : `${name} stands alone: ${mebibytes(bytes)} written`,
    );
  }
}
