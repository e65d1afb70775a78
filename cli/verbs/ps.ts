import type { Command } from 'commander';
import { ControlClient } from '../api/client.ts';
import type { ClusterStatus, VmStatus } from '../cluster/status.ts';
import { formatSize } from '../config/units.ts';
import { findCluster, type RunningEntry, runningClusters } from '../home/running.ts';
import { type FormatOptions, formatOption, print, printJson } from '../ui/output.ts';
import { styledTable } from '../ui/table.ts';
import { humanSpan } from '../ui/units.ts';

/** A control thread that is alive answers in well under a millisecond. */
const PATIENCE_MS = 3000;

export function define(command: Command): void {
  command
    .argument('[cluster]', 'show the VMs of this cluster')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  tsvmm ps
  tsvmm ps pair
  tsvmm ps --format json | jq -r '.[].name'`,
    )
    .action(listClusters);
}

async function listClusters(name: string | undefined, { format }: FormatOptions): Promise<void> {
  if (name === undefined) {
    const all = await Promise.all((await runningClusters()).map(statusOf));
    if (format === 'json') printJson(all);
    else print(clusterTable(all));
    return;
  }
  const status = await statusOf(await findCluster(name));
  if (format === 'json') printJson(status);
  else print(vmTable(status));
}

type Listed = Omit<ClusterStatus, 'state'> & { readonly state: ClusterStatus['state'] | 'unresponsive' };

async function statusOf(entry: RunningEntry): Promise<Listed> {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    return await new ControlClient(entry).get<ClusterStatus>('/v1/status', { signal });
  } catch {
    // Its control socket comes when its guests run, and goes when they end.
    const isNew = Date.now() - Date.parse(entry.started) < 60_000;
    const { cluster: name, pid, file, started, version } = entry;
    return {
      name,
      state: isNew ? 'starting' : 'unresponsive',
      pid,
      file,
      started,
      version,
      vms: [],
      networks: [],
    };
  }
}

function clusterTable(clusters: readonly Listed[]): string {
  const rows = clusters.map(({ name, state, vms, started, pid, file }) => [
    name,
    state,
    `${vms.filter(vm => vm.exit === undefined).length}/${vms.length}`,
    formatSize(vms.reduce((sum, vm) => sum + vm.memory_bytes, 0)),
    humanSpan(Date.now() - Date.parse(started)),
    String(pid),
    file,
  ]);
  return styledTable(['CLUSTER', 'STATE', 'VMS', 'MEMORY', 'UP', 'PID', 'FILE'], rows);
}

function vmTable({ vms }: Listed): string {
  const rows = vms.map(vm => [
    vm.name,
    stateOf(vm),
    String(vm.vcpus),
    formatSize(vm.memory_bytes),
    vm.boot_ms === null ? '-' : `${vm.boot_ms.toFixed(0)} ms`,
    vm.nets.map(nic => `${nic.network}:${nic.ip ?? nic.mac}`).join(' ') || '-',
    vm.guest,
  ]);
  return styledTable(['VM', 'STATE', 'VCPUS', 'MEMORY', 'BOOT', 'NETS', 'GUEST'], rows);
}

const stateOf = ({ state, exit }: VmStatus): string =>
  exit === undefined ? state : (exit.error?.code ?? exit.reason);
