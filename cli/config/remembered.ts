/**
 * The plain data of cluster files that were in order, by their text: a file that has not changed since is checked
 * again, but its YAML is not parsed again, which takes off a sixth of the time in which `tsvmm run` boots a VM.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { cacheDirectory } from '../home/layout.ts';
import { hash32 } from './addresses.ts';

/** Goes up when the same text is to give other data. */
const FORMAT = 1;
/** Larger files are rare, and parsed each time. */
const LONGEST_TEXT = 64 * 1024;
const MOST_FILES = 100;

const directory = (): string => join(cacheDirectory(), 'cluster-files');
const nameOf = (text: string): string =>
  [1, 2].map(salt => hash32(text, salt).toString(16).padStart(8, '0')).join('');

/** What remember() was given for this very text. */
export function recall(text: string): { readonly value: unknown } | undefined {
  if (text.length > LONGEST_TEXT) return undefined;
  try {
    const known = JSON.parse(readFileSync(join(directory(), nameOf(text)), 'utf8'));
    return known.format === FORMAT && known.text === text ? { value: known.value } : undefined;
  } catch {
    // None, or a damaged one: the file is parsed.
    return undefined;
  }
}

/** `value` consists of what JSON has: a file with anything else in it is not in order. */
export function remember(text: string, value: unknown): void {
  if (text.length > LONGEST_TEXT) return;
  try {
    mkdirSync(directory(), { recursive: true, mode: 0o700 });
    if (readdirSync(directory()).length >= MOST_FILES) rmSync(directory(), { recursive: true, force: true });
    const work = mkdtempSync(`${directory()}-`);
    writeFileSync(join(work, 'file'), JSON.stringify({ format: FORMAT, text, value }));
    mkdirSync(directory(), { recursive: true, mode: 0o700 });
    renameSync(join(work, 'file'), join(directory(), nameOf(text)));
    rmSync(work, { recursive: true });
  } catch {
    // A full or read-only disk: it is only slower.
  }
}
