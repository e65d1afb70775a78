import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The directory of package.json, from the sources as well as from dist/. */
export const packageRoot: string = findUpwards(import.meta.dirname);

function findUpwards(directory: string): string {
  if (existsSync(join(directory, 'package.json')) || dirname(directory) === directory) return directory;
  return findUpwards(dirname(directory));
}
