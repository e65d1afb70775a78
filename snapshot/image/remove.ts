import { renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { childrenOf } from './children.ts';
import { lockSnapshot, type SnapshotLock } from './lock.ts';

/**
 * Removes snapshots, those that build on others first. Disk layers that others need stay: each snapshot has names of its
 * own for them. `root` is where the snapshots of all clusters are. Throws TSVMM_E_CONFLICT, with nothing removed, when one of
 * them is in use, or another snapshot builds on it that is to stay.
 */
export function removeSnapshots(folders: readonly string[], root: string): void {
  const locks: SnapshotLock[] = [];
  try {
    // Locked before children are looked for: while one is being made, its parent is locked too.
    const targets = [...new Set(folders.map(folder => resolve(folder)))];
    for (const folder of targets) locks.push(lockSnapshot(folder, 'exclusive'));
    for (const folder of childrenFirst(targets, root)) removeFolder(folder);
  } finally {
    for (const lock of locks) lock.release();
  }
}

function childrenFirst(targets: readonly string[], root: string): string[] {
  const children = new Map(targets.map(folder => [folder, childrenOf(folder, root)]));
  for (const [folder, found] of children) {
    const staying = found.filter(child => !children.has(child.folder));
    if (staying.length > 0)
      throw isNeeded(
        folder,
        staying.map(({ name }) => name),
      );
  }
  const order: string[] = [];
  const visit = (folder: string) => {
    if (order.includes(folder)) return;
    for (const child of children.get(folder) ?? []) visit(child.folder);
    order.push(folder);
  };
  for (const folder of targets) visit(folder);
  return order;
}

/** By a rename first: a removal that is cut short leaves no damaged snapshot behind. */
function removeFolder(folder: string): void {
  const aside = join(dirname(folder), `.${basename(folder)}.${process.pid}.partial`);
  try {
    renameSync(folder, aside);
    rmSync(aside, { recursive: true, force: true });
  } catch (cause) {
    throw new TsvmmError('TSVMM_E_DISK', `cannot remove ${folder}`, {
      hint: 'check the permissions of the folder it is in',
      cause,
    });
  }
}

function isNeeded(folder: string, children: readonly string[]): TsvmmError {
  const names = children.join(', ');
  return new TsvmmError('TSVMM_E_CONFLICT', `the snapshot ${basename(folder)} is needed by ${names}`, {
    hint: `remove ${children.length === 1 ? 'that' : 'those'} too, or make it stand alone: tsvmm snap flatten ${children.join(' ')}`,
  });
}
