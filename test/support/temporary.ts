import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new folder that is removed when the process ends. */
export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'tsvmm-test-'));
  process.on('exit', () => rmSync(path, { recursive: true, force: true }));
  return path;
}
