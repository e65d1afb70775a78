import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import * as v from 'valibot';
import { TsvmmError } from '../../vmm/errors.ts';
import { SourceDocument } from './document.ts';
import { limits } from './limits.ts';
import { configError } from './problems.ts';
import { recall, remember } from './remembered.ts';
import { type ResolveOptions, resolveCluster } from './resolve.ts';
import type { ResolvedCluster } from './resolved.ts';
import { clusterFile } from './schema.ts';

export interface LoadOptions extends ResolveOptions {
  /** Remember what the text says for the next time, and use what is remembered; see remembered.ts. */
  readonly remember?: boolean;
}

/**
 * Reads and checks a cluster file. Throws TSVMM_E_CONFIG, with all problems at once, when it is not in order, and
 * TSVMM_E_NOT_FOUND when it cannot be read. The file `-` is stdin.
 */
export function loadCluster(file: string, options: LoadOptions = {}): ResolvedCluster {
  return parseCluster(file === '-' ? 'stdin' : file, readClusterFile(file), options);
}

/** The same for a text that is said to come from `file`, against whose directory relative paths count. */
export function parseCluster(file: string, text: string, options: LoadOptions = {}): ResolvedCluster {
  const known = options.remember ? recall(text) : undefined;
  const document = new SourceDocument(file, text, known);
  if (document.problems.length > 0) throw configError(document.problems, text);
  const parsed = v.safeParse(clusterFile, document.value);
  if (parsed.issues !== undefined) throw configError(parsed.issues.map(problemOf(document)), text);
  const { cluster, problems } = resolveCluster(document, parsed.output, options);
  if (problems.length > 0) throw configError(problems, text);
  if (options.remember && known === undefined) remember(text, document.value);
  return cluster;
}

const problemOf = (document: SourceDocument) => (issue: v.BaseIssue<unknown>) => {
  const steps = issue.path ?? [];
  const isKey = steps.at(-1)?.origin === 'key' && issue.received !== 'undefined';
  return document.problem(
    steps.map(step => step.key as string | number),
    issue.message,
    isKey ? 'key' : 'value',
  );
};

/** The text of a cluster file, bounded. Throws TSVMM_E_NOT_FOUND, TSVMM_E_CONFIG. */
export function readClusterFile(file: string): string {
  const fd = openToRead(file);
  try {
    if (fstatSync(fd).isDirectory()) {
      throw new TsvmmError('TSVMM_E_CONFIG', `${file} is a directory, not a cluster file`);
    }
    return readText(file, fd);
  } finally {
    if (fd !== STDIN) closeSync(fd);
  }
}

const STDIN = 0;

function openToRead(file: string): number {
  if (file === '-') return STDIN;
  try {
    return openSync(file, 'r');
  } catch (cause) {
    throw new TsvmmError('TSVMM_E_NOT_FOUND', `cannot open the cluster file ${file}`, {
      hint: 'give the path of a cluster file, such as examples/one.yaml',
      cause,
    });
  }
}

/** Works for pipes too. */
function readText(file: string, fd: number): string {
  const buffer = Buffer.allocUnsafe(limits.file_bytes + 1);
  let length = 0;
  for (let count = -1; count !== 0 && length < buffer.length; length += count) {
    count = readSync(fd, buffer, length, buffer.length - length, null);
  }
  if (length > limits.file_bytes) {
    throw new TsvmmError('TSVMM_E_CONFIG', `${file} is larger than ${limits.file_bytes} bytes`, {
      hint: 'this cannot be a cluster file',
    });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length));
  } catch (cause) {
    throw new TsvmmError('TSVMM_E_CONFIG', `${file} is not UTF-8 text`, { cause });
  }
}
