import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder in memory, where there is one: for much data whose fate on a disk is not what a test is about. */
export const MEMORY_FOLDER = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

const folders: string[] = [];
process.on('exit', () => {
  for (const path of folders) rmSync(path, { recursive: true, force: true });
});

/** A new folder that is removed when the process ends. */
export function temporaryFolder(parent = tmpdir()): string {
  const path = mkdtempSync(join(parent, 'tsvmm-test-'));
  folders.push(path);
  return path;
}
