import { execFileSync } from 'node:child_process';
import { copyFileSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { temporaryFolder } from './temporary.ts';

const repository = resolve(import.meta.dirname, '../..');

/**
 * Compiles everything, tests included, to a temporary folder, and returns it: for tests that start many processes,
 * each of which would spend half a second on compiling for itself.
 */
export function compileAll(): string {
  const folder = temporaryFolder();
  copyFileSync(join(repository, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'));
  const compiler = join(repository, 'node_modules/.bin/tsc');
  const options = ['-p', join(repository, 'test'), '--noEmit', 'false', '--noCheck', '--outDir', folder];
  execFileSync(compiler, [...options, '--rootDir', repository], { stdio: 'pipe' });
  return folder;
}
