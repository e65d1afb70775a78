import { setTimeout as sleep } from 'node:timers/promises';
import type { SnapshotReport } from '../../../snapshot/image/report.ts';
import { ControlClient } from '../../api/client.ts';
import type { DroppedLines } from '../../api/line-stream.ts';
import type { SnapshotLine } from '../../api/snapshot-routes.ts';
import type { LogLine } from '../../cluster/log-reader.ts';
import { runningClusters } from '../../home/running.ts';
import { ReportHistory } from '../guests/report-history.ts';
import { TsvmmRun } from '../guests/tsvmm-run.ts';

const STAT_MS = 50;
const LOOK_MS = 20;
const BOOT_LIMIT_MS = 120_000;

/** VMs in a ring: each asks the next one, on one connection, so that a VM's longest gap is that of its connection. */
export class Ring {
  readonly history = new ReportHistory();
  private readonly name: string;
  private readonly run: TsvmmRun;
  private readonly size: number;
  private readonly ended = new AbortController();
  private control: ControlClient | undefined;
  private following: Promise<void> = Promise.resolve();

  constructor(size: number, memory_mib: number) {
    this.size = size;
    this.name = `bench-cluster-${process.pid}-${size}`;
    this.run = new TsvmmRun(ringFile(this.name, size, memory_mib));
  }

  /** Resolves when every VM has its connection. */
  async started(signal: AbortSignal): Promise<void> {
    const deadline_ms = performance.now() + BOOT_LIMIT_MS;
    const isDue = () => {
      signal.throwIfAborted();
      this.run.log.throwIfFailed();
      if (performance.now() > deadline_ms) throw new Error(`the ring of ${this.size} VMs does not start`);
      return sleep(LOOK_MS);
    };
    let entry: Awaited<ReturnType<typeof runningClusters>>[number] | undefined;
    while (entry === undefined) {
      await isDue();
      entry = (await runningClusters()).find(({ cluster }) => cluster === this.name);
    }
    while (this.run.log.count('ready') < this.size) await isDue();
    this.control = new ControlClient(entry);
    this.following = this.follow(this.control);
    while (this.connections < this.size) await isDue();
  }

  /** Of the clients: segments sent again since they booted. */
  get retransmits(): number {
    return this.history.latest.reduce((sum, { retransmits }) => sum + Number(retransmits), 0);
  }

  async snapshot(options: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<SnapshotReport> {
    const request = { method: 'POST', path: '/v1/snapshots', body: options, signal } as const;
    for await (const line of (this.control as ControlClient).stream<SnapshotLine>(request))
      if ('report' in line) return line.report as SnapshotReport;
    throw new Error('a snapshot ended without a report');
  }

  /** Until all that happened before this moment has been reported. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    const now_ms = Date.now();
    while (!this.history.covers(now_ms)) {
      signal.throwIfAborted();
      this.run.log.throwIfFailed();
      await sleep(LOOK_MS);
    }
    const { lostLineCount } = this.history;
    if (lostLineCount > 0) throw new Error(`${lostLineCount} reports came faster than they were read`);
  }

  async end(): Promise<void> {
    this.ended.abort();
    await this.following.catch(() => {});
    await this.run.end();
  }

  private get connections(): number {
    return this.history.latest.filter(
      ({ workload, ops, conns }) => workload === 'tcp-client' && conns === 1 && Number(ops) > 0,
    ).length;
  }

  private async follow(control: ControlClient): Promise<void> {
    const { signal } = this.ended;
    const request = { method: 'GET', path: '/v1/logs', query: { follow: true }, signal } as const;
    for await (const line of control.stream<LogLine | DroppedLines>(request)) this.history.take(line);
  }
}

/** A few thousand requests a second in all, and memory that changes: what the processors are left with is not measured. */
function ringFile(name: string, size: number, memory_mib: number): string {
  const rate = Math.min(500, Math.floor(2000 / size));
  const vm = (i: number) => {
    const next = ((i + 1) % size) + 1;
    const words = `tcp-server, port=7, +, tcp-client, peer=10.0.0.${next}, port=7, rate=${rate}, +, dirty, size=8M, rate=500, pattern=random, stat=${STAT_MS}`;
    return `  n${i + 1}: { args: [${words}], nets: [{ network: lan, ip: 10.0.0.${i + 1}/24 }] }`;
  };
  return [
    `name: ${name}`,
    `defaults: { image: bench, memory: ${memory_mib}MiB }`,
    'vms:',
    ...Array.from({ length: size }, (_, i) => vm(i)),
    'networks: { lan: {} }',
  ].join('\n');
}
