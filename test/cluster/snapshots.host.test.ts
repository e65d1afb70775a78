/**
 * Snapshots of the example clusters under load. A few of each in CI; for the promise itself:
 *
 *   TSVMM_CLUSTER_SNAPSHOTS=200 TSVMM_CLUSTER_RESTORES=50 npx tsx test/cluster/snapshots.host.test.ts
 *
 * TSVMM_CLUSTER_EXAMPLES=ring does one of them alone. With TSVMM_CLUSTER_BESIDE=1 the original runs on beside those that are
 * restored.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseDocument } from 'yaml';
import { ReportHistory } from '../../cli/bench/guests/report-history.ts';
import { median } from '../../cli/bench/statistics.ts';
import type { BenchReport } from '../../cli/cluster/bench-report.ts';
import type { CounterName } from '../../net/counters.ts';
import type { SnapshotReport } from '../../snapshot/image/report.ts';
import { TestHome } from '../cli/home.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { TestCluster } from './support/test-cluster.ts';

const test = suite('snapshots');
const EXAMPLES = (process.env.TSVMM_CLUSTER_EXAMPLES ?? 'pair,ring').split(',');
const SNAPSHOTS = Number(process.env.TSVMM_CLUSTER_SNAPSHOTS ?? 3);
const RESTORES = Number(process.env.TSVMM_CLUSTER_RESTORES ?? 1);
const BESIDE = process.env.TSVMM_CLUSTER_BESIDE === '1';
const STAT_MS = 50;
/** Between two snapshots, to see the cluster undisturbed. */
const REST_MS = 300;

let home: TestHome;
test.before(async () => {
  if (lacksKvm() === undefined) home = await TestHome.create();
});
test.after(async () => home?.remove());
const hostTest = (name: string, body: () => Promise<void>) => testUnless(lacksKvm(), test, name, body);

/** The example, whose guests report more often. */
function example(name: string): { file: string; vms: string[] } {
  const path = join(import.meta.dirname, `../../examples/${name}.yaml`);
  const document = parseDocument(readFileSync(path, 'utf8'));
  const { vms } = document.toJS() as { vms: Record<string, unknown> };
  for (const vm of Object.keys(vms)) document.addIn(['vms', vm, 'args'], `stat=${STAT_MS}`);
  return { file: home.write(`${name}.yaml`, document.toString()), vms: Object.keys(vms) };
}

/** A running example and what its guests report. */
class Subject {
  readonly history = new ReportHistory();
  readonly cluster: TestCluster;
  private readonly ended = new AbortController();
  private readonly following: Promise<void>;

  constructor(cluster: TestCluster) {
    this.cluster = cluster;
    this.following = cluster.followReports(this.history, this.ended.signal);
  }

  /** Until all that happened before this moment has been reported. */
  async caughtUp(): Promise<void> {
    const now_ms = Date.now();
    while (!this.history.covers(now_ms)) {
      if (this.history.fatal !== undefined) throw this.history.fatal;
      await sleep(STAT_MS / 2);
    }
  }

  sum(field: 'errors' | 'retransmits' | 'ops' | 'conns'): number {
    return this.history.latest.reduce((sum, report) => sum + Number(report[field] ?? 0), 0);
  }

  async stop(): Promise<void> {
    this.ended.abort();
    await this.following;
    await this.cluster.stop();
  }
}

async function startSubject(name: string): Promise<Subject> {
  const { file, vms } = example(name);
  const subject = new Subject(await TestCluster.start(home, file));
  const connections = name === 'ring' ? 2 * vms.length * (vms.length - 1) : 2;
  while (subject.sum('conns') < connections || subject.history.latest.some(({ ops }) => Number(ops) < 200))
    await sleep(STAT_MS);
  return subject;
}

interface Span {
  /** The longest time that a client waited for an answer in it. */
  readonly gap_us: number;
  /** Segments that were sent again. */
  readonly retransmits: number;
}

interface Disturbance {
  readonly snapshot: SnapshotReport;
  readonly disturbed: Span;
  readonly calm: Span;
}

/** One snapshot, and a span of the same length without. */
async function disturb(subject: Subject, name: string): Promise<Disturbance> {
  let snapshot: SnapshotReport | undefined;
  const begun_ms = Date.now();
  const disturbed = await observe(subject, async () => {
    snapshot = await subject.cluster.snapshot({ name });
  });
  const length_ms = Date.now() - begun_ms;
  await sleep(REST_MS);
  const calm = await observe(subject, () => sleep(length_ms));
  return { snapshot: snapshot as SnapshotReport, disturbed, calm };
}

/** What the clients noticed while `work` was done. */
async function observe(subject: Subject, work: () => Promise<void>): Promise<Span> {
  const retransmitsBefore = subject.sum('retransmits');
  const begun_ms = Date.now();
  await work();
  const ended_ms = Date.now();
  await subject.caughtUp();
  return {
    gap_us: subject.history.longestGap_us('tcp-client', begun_ms, ended_ms),
    retransmits: subject.sum('retransmits') - retransmitsBefore,
  };
}

function tell(name: string, disturbances: readonly Disturbance[]): void {
  const row = (what: string, values: readonly number[]) =>
    console.log(
      `  ${what.padEnd(44)} p50 ${median(values).toFixed(2)}, most ${Math.max(...values).toFixed(2)}`,
    );
  const of = (what: string, value: (each: Disturbance) => number) => row(what, disturbances.map(value));
  const total = (value: (each: Disturbance) => number) =>
    disturbances.reduce((sum, each) => sum + value(each), 0);
  console.log(`${name}: ${disturbances.length} snapshots`);
  of('longest TCP gap during a snapshot, ms', each => each.disturbed.gap_us / 1000);
  of('in a span of that length without, ms', each => each.calm.gap_us / 1000);
  of('longest downtime of a VM, ms', each => longestDowntime_us(each.snapshot) / 1000);
  of('cut skew, ms', each => each.snapshot.cut_skew_us / 1000);
  of('complete after, ms', each => each.snapshot.complete_ms);
  of('frames held', each => each.snapshot.frames.held);
  of('frames recorded', each => each.snapshot.frames.recorded);
  const allowed_us = disturbances.map(each => 2 * longestDowntime_us(each.snapshot) + each.calm.gap_us);
  const gap_us = median(disturbances.map(each => each.disturbed.gap_us));
  console.log(
    `  p50 of the gap ${(gap_us / 1000).toFixed(2)} ms; twice the downtime and the normal gap: ${(median(allowed_us) / 1000).toFixed(2)} ms`,
  );
  console.log(
    `  segments sent again: ${total(each => each.disturbed.retransmits)} during snapshots, ` +
      `${total(each => each.calm.retransmits)} in as long without`,
  );
}

/** Frames that the switch took and did not deliver, for whatever reason. */
async function lostFrames({ cluster }: Subject): Promise<number> {
  const { networks } = await cluster.stats;
  const ports = Object.values(networks as Record<string, Record<string, Record<string, number>>>).flatMap(
    network => Object.values(network),
  );
  const reasons: readonly CounterName[] = [
    'marker_dropped_frames',
    'overflow_frames',
    'refused_frames',
    'inactive_frames',
    'malformed_frames',
  ];
  return ports.reduce((sum, port) => sum + reasons.reduce((of, reason) => of + (port[reason] ?? 0), 0), 0);
}

function tellDistribution(what: string, values: readonly number[]): void {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number) => (sorted[Math.ceil(part * sorted.length) - 1] as number).toFixed(1);
  console.log(
    `  ${what.padEnd(60)} least ${at(0.01)}, p50 ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, most ${at(1)}`,
  );
}

const longestDowntime_us = ({ vms }: SnapshotReport) => Math.max(...vms.map(vm => vm.downtime_us));

for (const name of EXAMPLES) {
  hostTest(
    `examples/${name}.yaml: ${SNAPSHOTS} snapshots under load disturb no workload, lose no frame`,
    async () => {
      const subject = await startSubject(name);
      const lostBefore = await lostFrames(subject);
      const disturbances: Disturbance[] = [];
      for (let index = 1; index <= SNAPSHOTS; index++) {
        const disturbance = await disturb(subject, `s${index}`);
        disturbances.push(disturbance);
        rmSync(disturbance.snapshot.path, { recursive: true });
      }
      tell(name, disturbances);
      assert.is(subject.sum('errors'), 0);
      // What is lost is sent again; that a segment is sent again because the processors are busy no switch can help.
      assert.is(await lostFrames(subject), lostBefore);
      for (const { snapshot } of disturbances) assert.is(snapshot.frames.dropped, 0);
      await subject.stop();
    },
  );

  if (RESTORES > 0)
    hostTest(
      `examples/${name}.yaml: ${RESTORES} snapshots restored go on with the same connections`,
      async () => {
        const original = await startSubject(name);
        const snapshots: SnapshotReport[] = [];
        for (let index = 1; index <= RESTORES; index++) {
          snapshots.push(await original.cluster.snapshot({ name: `r${index}` }));
          await sleep(REST_MS);
        }
        const connections = original.sum('conns');
        if (!BESIDE) await endUnharmed(original);
        const firstMessages_ms: number[] = [];
        const restores_ms: number[] = [];
        for (const [index, { snapshot, path, vms }] of snapshots.entries()) {
          const begun_ms = Date.now();
          const restored = new Subject(await TestCluster.restore(home, snapshot, `again-${index}`));
          restores_ms.push(Date.now() - begun_ms);
          await untilAllExchange(restored, vms.length);
          firstMessages_ms.push(firstExchange_us(restored) / 1000);
          // A connection that is reset or lost is fatal to its guest, and a new one would be counted.
          assert.is(restored.sum('conns'), connections);
          await endUnharmed(restored);
          rmSync(path, { recursive: true });
        }
        console.log(`${name}: ${RESTORES} restores${BESIDE ? ' beside the original' : ''}`);
        tellDistribution('restore -d returned after, ms', restores_ms);
        tellDistribution('first message of the slowest client after the release, ms', firstMessages_ms);
        if (BESIDE) await endUnharmed(original);
      },
    );
}

async function endUnharmed(subject: Subject): Promise<void> {
  assert.is(subject.sum('errors'), 0);
  await subject.stop();
}

const ENOUGH_REPORTS = 4;

/** Until each workload of each VM has reported that it goes on, again and again. */
async function untilAllExchange(subject: Subject, vmCount: number): Promise<void> {
  const goesOn = (reports: readonly BenchReport[]) =>
    reports.length >= ENOUGH_REPORTS && Number(reports.at(-1)?.ops) > Number(reports[0]?.ops) + 50;
  for (;;) {
    if (subject.history.fatal !== undefined) throw subject.history.fatal;
    const all = subject.history.all;
    if (new Set(all.map(({ vm }) => vm)).size === vmCount && all.every(({ reports }) => goesOn(reports)))
      return;
    await sleep(STAT_MS);
  }
}

/**
 * How long the slowest client waited for its first message. The guests' clocks stand still between cut and release, so
 * a gap that spans both is the time from the last message before the cut to the first one after the release. A report
 * that comes before that message tells how long the gap has lasted, so the first one that has counted more messages ends it.
 */
const firstExchange_us = (subject: Subject): number =>
  Math.max(
    ...subject.history.all
      .filter(({ workload }) => workload === 'tcp-client')
      .map(({ reports }) => {
        const progress = reports.findIndex(({ ops }) => Number(ops) > Number(reports[0]?.ops));
        return Math.max(...reports.slice(0, progress + 1).map(({ gap_us_max }) => Number(gap_us_max)));
      }),
  );

test.run();
