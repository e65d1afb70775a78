import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** Where tsvmm keeps its state: $TSVMM_HOME, or ~/.local/share/tsvmm. Always absolute. */
export function homeDirectory(): string {
  const configured = process.env.TSVMM_HOME;
  return configured ? resolve(configured) : join(homedir(), '.local/share/tsvmm');
}

export const imagesDirectory = (): string => join(homeDirectory(), 'images');
export const cacheDirectory = (): string => join(homeDirectory(), 'cache');
export const snapshotsDirectory = (): string => join(homeDirectory(), 'snapshots');
/** Holds one directory for each running cluster. */
export const runsDirectory = (): string => join(homeDirectory(), 'run');
/** What a detached process said last before it ended by an error. */
export const failureLog = (cluster: string): string => join(homeDirectory(), 'log', `${cluster}.log`);
