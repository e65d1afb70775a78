import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { MANIFEST_FILE } from '../../snapshot/image/manifest.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { snapshotsDirectory } from '../home/layout.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** The folder of a snapshot given as "cluster/name" or as a path. Throws TSVMM_E_NOT_FOUND. */
export function resolveSnapshot(text: string): string {
  const parts = text.split('/');
  if (parts.length === 2 && parts.every(part => NAME.test(part))) {
    const folder = join(snapshotsDirectory(), ...parts);
    if (existsSync(join(folder, MANIFEST_FILE))) return folder;
  }
  const path = resolve(text);
  if (existsSync(join(path, MANIFEST_FILE))) return path;
  throw new TsvmmError('TSVMM_E_NOT_FOUND', `there is no snapshot ${text}`, {
    hint: 'give cluster/name, as tsvmm snap ls shows it, or the folder of a snapshot',
  });
}

/** Names of the clusters that have snapshots. */
export function clustersWithSnapshots(): string[] {
  try {
    return readdirSync(snapshotsDirectory()).filter(name => NAME.test(name));
  } catch {
    return [];
  }
}
