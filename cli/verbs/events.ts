import type { Command } from 'commander';
import type { TsvmmEvent } from '../../vmm/events.ts';
import { ControlClient } from '../api/client.ts';
import { findCluster } from '../home/running.ts';
import { endQuietlyOnSignals } from '../ui/abort.ts';

export function define(command: Command): void {
  command
    .argument('[cluster]', 'the cluster; may be left out when only one runs')
    .addHelpText(
      'after',
      `
Prints one JSON document per line, from now until Ctrl-C or the end of the cluster.

Example:
  tsvmm events pair | jq -r '"\\(.type) \\(.vm)"'`,
    )
    .action(async (name: string | undefined) => {
      const client = new ControlClient(await findCluster(name));
      const exchange = { method: 'GET', path: '/v1/events', signal: endQuietlyOnSignals() } as const;
      for await (const event of client.stream<TsvmmEvent>(exchange)) {
        process.stdout.write(`${JSON.stringify(event)}\n`);
      }
    });
}
