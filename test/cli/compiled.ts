import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { sourceFiles } from '../../guest-images/fingerprint.ts';

const root = join(import.meta.dirname, '../..');
// Below node_modules, so that packages are found from there as from dist/.
const cache = join(root, 'node_modules/.cache/tsvmm-test');
const KEPT_MS = 3_600_000;

/**
 * Path of the compiled command's main.js, made of the present sources: tests that start it many times run what users
 * run, and faster than from the sources. Test files that run side by side share it.
 */
export function compiledMain(): string {
  const target = join(cache, fingerprint());
  if (!existsSync(target)) compile(target);
  return join(target, 'cli/main.js');
}

function fingerprint(): string {
  const hash = createHash('sha256');
  for (const directory of ['vmm', 'snapshot', 'net', 'cli', 'guest-images']) {
    for (const file of sourceFiles(join(root, directory)).filter(name => name.endsWith('.ts'))) {
      const { mtimeMs, size } = statSync(join(root, directory, file));
      hash.update(`${directory}/${file} ${mtimeMs} ${size}\n`);
    }
  }
  return hash.digest('hex').slice(0, 16);
}

function compile(target: string): void {
  mkdirSync(cache, { recursive: true });
  for (const name of readdirSync(cache)) {
    const path = join(cache, name);
    if (Date.now() - statSync(path).mtimeMs > KEPT_MS) rmSync(path, { recursive: true, force: true });
  }
  const work = mkdtempSync(join(cache, '.new-'));
  // Some tests run the command as another user.
  chmodSync(work, 0o755);
  const tsc = join(root, 'node_modules/.bin/tsc');
  const { stdout } = spawnSync(tsc, ['-p', root, '--outDir', work], { encoding: 'utf8' });
  // Types are checked elsewhere: errors in them do not keep tsc from compiling.
  if (!existsSync(join(work, 'cli/main.js'))) {
    rmSync(work, { recursive: true });
    throw new Error(`tsc failed:\n${stdout}`);
  }
  try {
    renameSync(work, target);
  } catch {
    // Another test file was quicker.
    rmSync(work, { recursive: true });
  }
}
