import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compilerIdentity, sourceFiles } from './fingerprint.ts';

/** 16 hexadecimal digits that change whenever the content of a source file does. */
export function contentHash(directory: string): string {
  const hash = createHash('sha256');
  for (const file of sourceFiles(directory)) {
    const content = readFileSync(join(directory, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex').slice(0, 16);
}

/** 8 hexadecimal digits that name the compiler. */
export const compilerHash = (): string =>
  createHash('sha256').update(compilerIdentity()).digest('hex').slice(0, 8);
