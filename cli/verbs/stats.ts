import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { ControlClient } from '../api/client.ts';
import type { ClusterStats } from '../cluster/status.ts';
import { findCluster } from '../home/running.ts';
import { endQuietlyOnSignals } from '../ui/abort.ts';
import { type FormatOptions, formatOption, print, printJson } from '../ui/output.ts';
import { statsTables } from '../ui/stats-tables.ts';

const INTERVAL_MS = 1000;

interface Options extends FormatOptions {
  readonly once?: boolean;
}

export function define(command: Command): void {
  command
    .argument('[cluster]', 'the cluster; may be left out when only one runs')
    .option('--once', 'print one table, over one second, and end')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
With --format json: the counters since the start, one document per line each second; with --once a single one, at once.

Examples:
  tsvmm stats pair
  tsvmm stats --once --format json pair`,
    )
    .action(showStats);
}

async function showStats(name: string | undefined, { once, format }: Options): Promise<void> {
  const client = new ControlClient(await findCluster(name));
  const get = () => client.get<ClusterStats>('/v1/stats');
  if (once && format === 'json') return printJson(await get());
  const signal = endQuietlyOnSignals();
  let previous = await get();
  while (await slept(signal)) {
    const current = await get();
    if (format === 'json') {
      print(JSON.stringify(current));
    } else {
      const home = process.stdout.isTTY && !once ? '\x1b[H\x1b[J' : '';
      print(`${home}${statsTables(previous, current)}`);
    }
    if (once) return;
    previous = current;
  }
}

const slept = (signal: AbortSignal): Promise<boolean> =>
  sleep(INTERVAL_MS, true, { signal }).catch(() => false);
