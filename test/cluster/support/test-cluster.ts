import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { ControlClient } from '../../../cli/api/client.ts';
import type { DroppedLines } from '../../../cli/api/line-stream.ts';
import type { SnapshotLine } from '../../../cli/api/snapshot-routes.ts';
import type { ReportHistory } from '../../../cli/bench/guests/report-history.ts';
import type { BenchReport } from '../../../cli/cluster/bench-report.ts';
import type { LogLine } from '../../../cli/cluster/log-reader.ts';
import type { ClusterStats, ClusterStatus } from '../../../cli/cluster/status.ts';
import type { CounterName } from '../../../net/counters.ts';
import type { SnapshotReport } from '../../../snapshot/image/report.ts';
import { TsvmmCommand, tsvmmProgram } from '../../cli/command.ts';
import type { TestHome } from '../../cli/home.ts';
import type { NetworkNamespace } from './network-namespace.ts';

const LOOK_MS = 50;

/** A cluster that runs in the background, and what it says about itself. */
export class TestCluster {
  readonly name: string;
  readonly pid: number;
  private readonly home: TestHome;
  private readonly control: ControlClient;

  /** `tsvmm run -d FILE`, in a network namespace if one is given. */
  static async start(
    home: TestHome,
    file: string,
    { namespace }: { namespace?: NetworkNamespace } = {},
  ): Promise<TestCluster> {
    const words = [...tsvmmProgram, 'run', '-d', '--timeout', '600', file];
    return TestCluster.of(home, namespace === undefined ? words : namespace.words(words));
  }

  /** `tsvmm restore -d SNAPSHOT --name NAME`. */
  static restore(home: TestHome, snapshot: string, name: string): Promise<TestCluster> {
    return TestCluster.of(home, [...tsvmmProgram, 'restore', '-d', snapshot, '--name', name]);
  }

  /** What `words` leave running in the background, whose name they print. */
  private static async of(home: TestHome, words: readonly string[]): Promise<TestCluster> {
    const { code, stdout, stderr } = await new TsvmmCommand(words, { TSVMM_HOME: home.path }).ended;
    assert.is(code, 0, stderr);
    return TestCluster.attach(home, stdout.trim());
  }

  /** One that runs already. */
  static async attach(home: TestHome, name: string): Promise<TestCluster> {
    const control = new ControlClient({ cluster: name, directory: join(home.path, 'run', name) });
    const { pid } = await control.get<ClusterStatus>('/v1/status');
    return new TestCluster(home, name, pid, control);
  }

  private constructor(home: TestHome, name: string, pid: number, control: ControlClient) {
    this.home = home;
    this.name = name;
    this.pid = pid;
    this.control = control;
  }

  get status(): Promise<ClusterStatus> {
    return this.control.get<ClusterStatus>('/v1/status');
  }

  get stats(): Promise<ClusterStats> {
    return this.control.get<ClusterStats>('/v1/stats');
  }

  /** The first stats of which `condition` holds. Fails when a VM ends before. */
  async until(condition: (stats: ClusterStats) => boolean): Promise<ClusterStats> {
    for (;;) {
      const stats = await this.stats;
      for (const { name, state } of stats.vms) assert.is(state, 'running', name);
      if (condition(stats)) return stats;
      await sleep(LOOK_MS);
    }
  }

  /** Takes a snapshot as `tsvmm snap` does, without the time that its process takes to start. */
  async snapshot(
    options: Readonly<Record<string, unknown>> = {},
    signal?: AbortSignal,
  ): Promise<SnapshotReport> {
    const request = { method: 'POST', path: '/v1/snapshots', body: options, signal } as const;
    for await (const line of this.control.stream<SnapshotLine>(request)) {
      if ('report' in line) return line.report as SnapshotReport;
    }
    throw new Error('the stream of a snapshot ended without a report');
  }

  /** Keeps what the guests report, from the first line on, until `signal` aborts. */
  followReports(history: ReportHistory, signal: AbortSignal): Promise<void> {
    const request = { method: 'GET', path: '/v1/logs', query: { follow: true }, signal } as const;
    const follow = async () => {
      for await (const line of this.control.stream<LogLine | DroppedLines>(request)) history.take(line);
    };
    return follow();
  }

  /** `tsvmm stop`; afterwards its process and its run directory are gone. */
  async stop(): Promise<void> {
    const { code, stderr } = await this.home.run('stop', this.name, '--timeout', '600');
    assert.is(code, 0, stderr);
    assert.not.ok(isRunning(this.pid), 'its process has ended');
    assert.not.ok(this.home.runs.includes(this.name), 'its run directory is gone');
  }
}

/** The last report of a workload; undefined before the first. */
export const reportOf = (stats: ClusterStats, vm: string, workload: string): BenchReport | undefined =>
  stats.vms.find(({ name }) => name === vm)?.reports.find(report => report.workload === workload);

/** What a workload has done since its guest booted; 0 before its first report. */
export const opsOf = (stats: ClusterStats, vm: string, workload: string): number =>
  Number(reportOf(stats, vm, workload)?.ops ?? 0);

/** Reports of all workloads of all VMs. */
export const allReports = (stats: ClusterStats): BenchReport[] => stats.vms.flatMap(({ reports }) => reports);

/** A counter of a port, "vm/net0" or the name of a tap. */
export function counterOf(stats: ClusterStats, network: string, port: string, counter: CounterName): number {
  const ports = stats.networks[network] as Record<string, Record<string, number>> | undefined;
  const value = ports?.[port]?.[counter];
  if (value === undefined) throw new Error(`no counter ${counter} of ${port} in ${JSON.stringify(ports)}`);
  return value;
}

/** A process that has ended may wait long to be reaped by init: then it is a zombie (proc(5), stat, field 3). */
export function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Resolves when the process has ended and the kernel has let go of its files. */
export async function untilEnded(pid: number): Promise<void> {
  while (isRunning(pid)) await sleep(5);
  // A thread may outlive its leader by a moment, and with it what they share.
  while (threadsOf(pid) > 0) await sleep(5);
}

function threadsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).filter(thread => isRunning(Number(thread))).length;
  } catch {
    return 0;
  }
}
