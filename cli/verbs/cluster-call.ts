import type { Command } from 'commander';
import { ControlClient } from '../api/client.ts';
import type { ClusterStatus } from '../cluster/status.ts';
import { findCluster } from '../home/running.ts';
import { type FormatOptions, formatOption, narrate, printJson } from '../ui/output.ts';

/** A verb that asks a cluster to do one thing and gets its status back. */
export function defineClusterCall(
  command: Command,
  { path, did, help }: { path: string; did: string; help: string },
): void {
  command
    .argument('[cluster]', 'the cluster; may be left out when only one runs')
    .addOption(formatOption())
    .addHelpText('after', help)
    .action(async (name: string | undefined, { format }: FormatOptions) => {
      const status = await new ControlClient(await findCluster(name)).post<ClusterStatus>(path);
      if (format === 'json') printJson(status);
      else narrate(`${status.name} ${did}`);
    });
}
