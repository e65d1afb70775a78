import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { limits, NAME_PATTERN } from '../config/limits.ts';
import { failureLog, runsDirectory } from './layout.ts';
import { isAlive, ownIdentity, type ProcessIdentity } from './process-identity.ts';
import { accepts } from './socket.ts';

/** Where a detached process writes its own messages. */
export const CONTROL_LOG = 'control.log';

/** What process.json in a run directory says about the process that the cluster runs in. */
export interface RunRecord extends ProcessIdentity {
  readonly cluster: string;
  /** Absolute path of the cluster file. */
  readonly file: string;
  /** ISO 8601. */
  readonly started: string;
  readonly version: string;
}

/**
 * The directory of one running cluster, private to the user: process.json, control.sock, <vm>.log. It exists exactly
 * as long as the cluster runs; what a killed process left is recognised and removed.
 */
export class RunDirectory {
  readonly path: string;
  readonly record: RunRecord;
  private removed = false;

  /**
   * Takes the cluster's name. The directory appears whole, by rename, so that of two that want the name one gets it.
   * Throws TSVMM_E_CLUSTER_EXISTS, and TSVMM_E_USAGE for what cannot be a name.
   */
  static async claim(about: Omit<RunRecord, keyof ProcessIdentity>): Promise<RunDirectory> {
    const record = { ...ownIdentity(), ...about };
    requireName(record.cluster);
    const path = join(runsDirectory(), record.cluster);
    mkdirSync(runsDirectory(), { recursive: true, mode: 0o700 });
    removeLeftovers();
    // mkdtemp gives mode 0700.
    const prepared = mkdtempSync(join(runsDirectory(), '.new-'));
    writeFileSync(join(prepared, 'process.json'), `${JSON.stringify(record)}\n`);
    try {
      await moveTo(path, prepared);
    } catch (error) {
      rmSync(prepared, { recursive: true, force: true });
      throw error;
    }
    rmSync(failureLog(record.cluster), { force: true });
    return new RunDirectory(path, record);
  }

  private constructor(path: string, record: RunRecord) {
    this.path = path;
    this.record = record;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Synchronous, so that it can be the last thing a process does. Idempotent. */
  remove(): void {
    if (this.removed) return;
    this.removed = true;
    rmSync(this.path, { recursive: true, force: true });
  }
}

function requireName(name: string): void {
  if (NAME_PATTERN.test(name) && name.length <= limits.nameLength) return;
  throw new TsvmmError('TSVMM_E_USAGE', `"${name}" cannot be the name of a cluster`, {
    hint: `a name has 1 to ${limits.nameLength} of a-z, 0-9 and "-"`,
  });
}

const LEFTOVER_AGE_MS = 3_600_000;

/** What was prepared or put aside by processes that were killed in the middle of it. */
function removeLeftovers(): void {
  for (const name of readdirSync(runsDirectory())) {
    if (!name.startsWith('.')) continue;
    const path = join(runsDirectory(), name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && Date.now() - stat.mtimeMs > LEFTOVER_AGE_MS) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

async function moveTo(path: string, prepared: string): Promise<void> {
  try {
    renameSync(prepared, path);
    return;
  } catch (error) {
    // rename(2): the target is a directory that is not empty.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
  if (!(await removeIfStale(path))) throw alreadyRuns(path);
  try {
    renameSync(prepared, path);
  } catch {
    throw alreadyRuns(path);
  }
}

/** Removes what a dead process left; answers false, and changes nothing, while the process lives. */
export async function removeIfStale(path: string): Promise<boolean> {
  const record = readRunRecord(path);
  // The process may live in another PID namespace, where its id means nothing to us: then its socket tells.
  if (record !== undefined && (isAlive(record) || (await accepts(path)))) return false;
  return removeUnlessReplaced(path, record);
}

/** Somebody else may have removed it meanwhile and taken the name: then it is moved back. */
function removeUnlessReplaced(path: string, stale: RunRecord | undefined): boolean {
  const aside = mkdtempSync(join(runsDirectory(), '.stale-'));
  try {
    renameSync(path, aside);
  } catch {
    rmSync(aside, { recursive: true, force: true });
    return true;
  }
  const record = readRunRecord(aside);
  if (record?.pid === stale?.pid && record?.start_ticks === stale?.start_ticks) {
    if (record !== undefined) keepControlLog(aside, record.cluster);
    rmSync(aside, { recursive: true, force: true });
    return true;
  }
  renameSync(aside, path);
  return false;
}

/** A process that was detached and crashed may have said why. */
function keepControlLog(runDirectory: string, cluster: string): void {
  const log = join(runDirectory, CONTROL_LOG);
  if ((statSync(log, { throwIfNoEntry: false })?.size ?? 0) === 0) return;
  mkdirSync(dirname(failureLog(cluster)), { recursive: true, mode: 0o700 });
  renameSync(log, failureLog(cluster));
}

/** Undefined when there is none, or when it is not one of ours. */
export function readRunRecord(path: string): RunRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(join(path, 'process.json'), 'utf8')) as RunRecord;
    const isOurs = [record.cluster, record.file, record.started, record.version].every(
      text => typeof text === 'string',
    );
    return isOurs && Number.isInteger(record.pid) && Number.isInteger(record.start_ticks)
      ? record
      : undefined;
  } catch {
    return undefined;
  }
}

function alreadyRuns(path: string): TsvmmError {
  const record = readRunRecord(path);
  const name = record?.cluster ?? path;
  return new TsvmmError(
    'TSVMM_E_CLUSTER_EXISTS',
    `the cluster ${name} runs already (process ${record?.pid})`,
    {
      hint: `stop it by "tsvmm stop ${name}", or start another one under a name of its own with --name`,
    },
  );
}
