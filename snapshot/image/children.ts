import { readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parentFolder } from './chain.ts';
import { listSnapshots } from './list.ts';

export interface Child {
  /** Where it is. */
  readonly folder: string;
  /** As cluster/name. */
  readonly name: string;
}

/**
 * The snapshots that build on the one in `folder`: among those beside it, and among those of all clusters if it is one of
 * the folders below `root`. One that is damaged builds on nothing: it cannot be restored either way.
 */
export function childrenOf(folder: string, root: string): Child[] {
  const target = resolve(folder);
  const siblings = dirname(target);
  const folders = dirname(siblings) === resolve(root) ? clusterFolders(root) : [siblings];
  return folders.flatMap(listSnapshots).flatMap(snapshot => {
    if (!('manifest' in snapshot) || snapshot.manifest.parent === null) return [];
    const { manifest } = snapshot;
    if (resolve(parentFolder(snapshot.folder, manifest, snapshot.manifest.parent)) !== target) return [];
    return [{ folder: resolve(snapshot.folder), name: `${manifest.cluster}/${snapshot.name}` }];
  });
}

function clusterFolders(root: string): string[] {
  return readdirSync(root, { withFileTypes: true })
    .filter(entry => !entry.name.startsWith('.') && !entry.isFile())
    .map(({ name }) => join(resolve(root), name));
}
