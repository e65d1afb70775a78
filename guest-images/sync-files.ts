import { closeSync, fsyncSync, openSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Brings files of `folder`, and that it has them, to stable storage. Before they get the name by which they count: a host
 * that loses its power must not find them there without their content.
 */
export function syncFiles(folder: string, names: readonly string[]): void {
  for (const path of [...names.map(name => join(folder, name)), folder]) {
    const fd = openSync(path, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}
