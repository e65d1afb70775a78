import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { suggest } from '../ui/suggest.ts';
import { failureLog, runsDirectory } from './layout.ts';
import { type RunRecord, readRunRecord, removeIfStale } from './run-directory.ts';

export interface RunningEntry extends RunRecord {
  /** The run directory. */
  readonly directory: string;
}

/** The clusters that run, by name. Removes what dead processes left. */
export async function runningClusters(): Promise<RunningEntry[]> {
  const entries: RunningEntry[] = [];
  for (const name of runNames()) {
    const directory = join(runsDirectory(), name);
    if (await removeIfStale(directory)) continue;
    const record = readRunRecord(directory);
    if (record !== undefined) entries.push({ ...record, directory });
  }
  return entries;
}

/**
 * The running cluster of this name, or, without one, the only one there is. Throws TSVMM_E_CLUSTER_NOT_FOUND, and
 * TSVMM_E_USAGE when a name is needed.
 */
export async function findCluster(name?: string): Promise<RunningEntry> {
  const entries = await runningClusters();
  const names = entries.map(entry => entry.cluster);
  if (name !== undefined) {
    const found = entries.find(entry => entry.cluster === name);
    if (found !== undefined) return found;
    throw notFound(name, names);
  }
  const [only] = entries;
  if (only === undefined) {
    throw new TsvmmError('TSVMM_E_CLUSTER_NOT_FOUND', 'no cluster runs', {
      hint: 'start one: tsvmm run -d examples/one.yaml',
    });
  }
  if (entries.length > 1) {
    throw new TsvmmError('TSVMM_E_USAGE', `${entries.length} clusters run: say which one`, {
      hint: `running are: ${names.join(', ')}`,
    });
  }
  return only;
}

function notFound(name: string, names: readonly string[]): TsvmmError {
  const similar = suggest(name, names);
  const log = failureLog(name);
  if (existsSync(log)) {
    return new TsvmmError(
      'TSVMM_E_CLUSTER_NOT_FOUND',
      `no cluster named "${name}" runs: it ended by an error`,
      {
        hint: `its last words are in ${log}`,
      },
    );
  }
  const running = names.length === 0 ? 'no cluster runs' : `running are: ${names.join(', ')}`;
  return new TsvmmError('TSVMM_E_CLUSTER_NOT_FOUND', `no cluster named "${name}" runs`, {
    hint: similar === undefined ? running : `did you mean "${similar}"?`,
  });
}

function runNames(): string[] {
  try {
    return readdirSync(runsDirectory())
      .filter(name => !name.startsWith('.'))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
