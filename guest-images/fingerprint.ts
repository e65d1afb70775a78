/** Which sources and which compiler an image is made of, told in a few milliseconds: nothing is read. */
import { readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { findTool } from './find-tool.ts';

/** Changes whenever a source file is added, removed or written, or the compiler is another, if that matters. */
export function quickFingerprint(
  directory: string,
  { isCompiled }: { readonly isCompiled: boolean },
): string {
  const files = sourceFiles(directory).map(file => `${file} ${identity(statSync(join(directory, file)))}`);
  return [directory, ...files, isCompiled ? compilerIdentity() : ''].join('\n');
}

/** Files below `directory`, sorted; neither hidden ones nor what a build by hand left there. */
export function sourceFiles(directory: string, below = ''): string[] {
  return readdirSync(join(directory, below), { withFileTypes: true })
    .filter(({ name }) => !name.startsWith('.') && name !== 'build')
    .flatMap(entry => {
      const file = join(below, entry.name);
      return entry.isDirectory() ? sourceFiles(directory, file) : [file];
    })
    .sort();
}

/** Names the compiler's binary; empty if there is none. Running it to ask its version takes longer. */
export function compilerIdentity(): string {
  const path = findTool('gcc');
  if (path === undefined) return '';
  const binary = realpathSync(path);
  return `${binary} ${identity(statSync(binary))}`;
}

const identity = ({ size, mtimeMs, ino }: Stats): string => `${size} ${mtimeMs} ${ino}`;
