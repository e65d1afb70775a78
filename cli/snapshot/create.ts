import type { SnapshotReport } from '../../snapshot/image/report.ts';
import { ControlClient } from '../api/client.ts';
import type { SnapshotLine } from '../api/snapshot-routes.ts';
import type { ClusterStatus } from '../cluster/status.ts';
import { findCluster } from '../home/running.ts';
import { abortOnSignals } from '../ui/abort.ts';
import { type FormatOptions, narrate, print, printJson } from '../ui/output.ts';
import { SnapshotRows } from './progress-rows.ts';
import { reportTable } from './tables.ts';

export interface CreateOptions extends FormatOptions {
  readonly name?: string;
  readonly wait: boolean;
  readonly method: string;
  readonly cow: string;
  readonly filter: string;
  readonly compress: string;
  readonly incremental?: boolean;
  readonly timeout: number;
}

export async function createSnapshot(cluster: string | undefined, options: CreateOptions): Promise<void> {
  const client = new ControlClient(await findCluster(cluster));
  const signal = abortOnSignals();
  const { vms } = await client.get<ClusterStatus>('/v1/status');
  const rows = new SnapshotRows(vms.map(({ name }) => name));
  const { name, wait, method, cow, filter, compress, incremental = false, timeout: timeout_s } = options;
  const request = { wait, method, cow, filter, compress, incremental, timeout_s };
  const body = name === undefined ? request : { name, ...request };
  let report: SnapshotReport | undefined;
  try {
    for await (const line of client.stream<SnapshotLine>({
      method: 'POST',
      path: '/v1/snapshots',
      body,
      signal,
    })) {
      if ('progress' in line) rows.show(line.progress);
      else report = line.report as SnapshotReport;
    }
  } finally {
    rows.end();
  }
  signal.throwIfAborted();
  if (report === undefined) narrate('all VMs have made their cut; the snapshot is being completed');
  else if (options.format === 'json') printJson(report);
  else print(reportTable(report));
  if (incremental && report?.parent === null)
    narrate('there is no earlier snapshot to build on: this one stands alone');
}
