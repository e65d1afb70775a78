import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { TsvmmError } from '../../vmm/errors.ts';
import { ControlClient } from '../api/client.ts';
import { isAlive } from '../home/process-identity.ts';
import { removeIfStale } from '../home/run-directory.ts';
import { findCluster, type RunningEntry, runningClusters } from '../home/running.ts';
import { narrate } from '../ui/output.ts';

interface Options {
  readonly timeout: number;
  readonly all?: boolean;
}

export function define(command: Command): void {
  command
    .argument('[cluster]', 'the cluster; may be left out when only one runs')
    .option('--timeout <seconds>', 'how long Linux guests may take to power off', seconds, 10)
    .option('--all', 'stop all clusters')
    .addHelpText(
      'after',
      `
Presses the power button of Linux guests and waits for them; what still runs after the
timeout is ended, and so is at once what has no power button. Returns when the cluster's
process has ended and nothing of it is left.

Examples:
  tsvmm stop pair
  tsvmm stop pair --timeout 0
  tsvmm stop --all`,
    )
    .action(async (name: string | undefined, { timeout, all }: Options) => {
      if (all && name !== undefined)
        throw new TsvmmError('TSVMM_E_USAGE', 'name a cluster or say --all, not both');
      const entries = all ? await runningClusters() : [await findCluster(name)];
      await Promise.all(entries.map(entry => stopCluster(entry, timeout * 1000)));
    });
}

/** A process that is asked to end does so in less than a second; what takes this long hangs. */
const PATIENCE_MS = 10_000;

async function stopCluster(entry: RunningEntry, timeout_ms: number): Promise<void> {
  const deadline_ms = performance.now() + timeout_ms + PATIENCE_MS;
  // A cluster that does not answer may still be starting, and ends by a signal as well.
  const request = new ControlClient(entry).post(
    '/v1/stop',
    { grace_s: timeout_ms / 1000 },
    AbortSignal.timeout(PATIENCE_MS),
  );
  await request.catch(() => signal(entry, 'SIGTERM'));
  while (isAlive(entry) && performance.now() < deadline_ms) await sleep(10);
  if (isAlive(entry)) {
    narrate(`${entry.cluster} has not ended ${PATIENCE_MS / 1000} s after its guests should have: killed`);
    signal(entry, 'SIGKILL');
    while (isAlive(entry)) await sleep(10);
  }
  await removeIfStale(entry.directory);
  narrate(`${entry.cluster} stopped`);
}

function signal(entry: RunningEntry, name: NodeJS.Signals): void {
  if (isAlive(entry)) process.kill(entry.pid, name);
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 3600)) throw new InvalidArgumentError('expected seconds, such as 10');
  return value;
}
