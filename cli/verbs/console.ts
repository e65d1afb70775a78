import type { Command } from 'commander';
import { TsvmmError } from '../../vmm/errors.ts';
import { ControlClient } from '../api/client.ts';
import type { ClusterStatus } from '../cluster/status.ts';
import { findCluster, type RunningEntry, runningClusters } from '../home/running.ts';
import { findTarget } from '../home/target.ts';
import { narrate } from '../ui/output.ts';
import { DETACH_KEY_NAME, joinTerminal } from '../ui/terminal-session.ts';

export function define(command: Command): void {
  command
    .argument('[cluster/vm]', 'the VM; its name alone will do where that is clear')
    .addHelpText(
      'after',
      `
Shows the VM's last screen and then what it writes; what you type goes to it. ${DETACH_KEY_NAME} detaches. Where stdin is
no terminal, the console is only shown.

Examples:
  tsvmm console pair/server
  tsvmm console server`,
    )
    .action(attach);
}

async function attach(text: string | undefined): Promise<void> {
  const { entry, vm } = await findConsole(text);
  const client = new ControlClient(entry);
  const socket = await client.upgrade('/v1/console', { vm });
  const name = `${entry.cluster}/${vm}`;
  if (process.stdin.isTTY) narrate(`attached to ${name}; ${DETACH_KEY_NAME} detaches`);
  const end = await joinTerminal(socket, (columns, rows) =>
    // A cluster of an older version knows no sizes.
    client.post('/v1/console/size', { vm, columns, rows }).catch(() => {}),
  );
  narrate(end === 'detached' ? `detached from ${name}` : `the console of ${name} is closed`);
}

/** CLUSTER/VM; or a VM of the only cluster; or a cluster of one VM. */
async function findConsole(text: string | undefined): Promise<{ entry: RunningEntry; vm: string }> {
  const running = await runningClusters();
  const [only] = running;
  if (text !== undefined && !text.includes('/') && only !== undefined && running.length === 1) {
    if (only.cluster !== text) return { entry: only, vm: text };
  }
  const { entry, vm } = text === undefined ? { entry: await findCluster() } : await findTarget(text);
  if (vm !== undefined) return { entry, vm };
  const { vms } = await new ControlClient(entry).get<ClusterStatus>('/v1/status');
  if (vms.length === 1 && vms[0] !== undefined) return { entry, vm: vms[0].name };
  throw new TsvmmError('TSVMM_E_USAGE', `${entry.cluster} has ${vms.length} VMs: say which one`, {
    hint: `such as tsvmm console ${entry.cluster}/${vms[0]?.name}`,
  });
}
