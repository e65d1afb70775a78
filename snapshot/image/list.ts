import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TsvmmError } from '../../vmm/errors.ts';
import type { Manifest } from './manifest.ts';
import { SnapshotReader } from './reader.ts';

export type ListedSnapshot = { readonly name: string; readonly folder: string } & (
  | { readonly manifest: Manifest }
  | { readonly error: TsvmmError }
);

/** The snapshots in a folder, oldest first; one that cannot be read is listed with the reason. */
export function listSnapshots(folder: string): ListedSnapshot[] {
  const names = entriesOf(folder).filter(name => !name.startsWith('.'));
  const listed = names.map((name): ListedSnapshot => {
    const path = join(folder, name);
    try {
      return { name, folder: path, manifest: new SnapshotReader(path).manifest };
    } catch (error) {
      return { name, folder: path, error: error as TsvmmError };
    }
  });
  const created = (snapshot: ListedSnapshot) => ('manifest' in snapshot ? snapshot.manifest.created_at : '');
  return listed.sort((a, b) => created(a).localeCompare(created(b)));
}

/** Removes what processes that are gone left half-written. */
export function removePartial(folder: string, isAlive: (pid: number) => boolean): void {
  for (const name of entriesOf(folder)) {
    const pid = /^\..*\.(\d+)\.partial$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid)))
      rmSync(join(folder, name), { recursive: true, force: true });
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
