/**
 * What the marker filter is good for: two guests that log each message they send and receive are cut one well after the
 * other, and their logs up to the cuts are compared. Without the filter messages turn up that were received before they
 * were sent; with it none does.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RunningCluster } from '../../cli/cluster/cluster.ts';
import type { HostParts } from '../../cli/cluster/host-parts.ts';
import { parseCluster } from '../../cli/config/load.ts';
import type { FilterModeName } from '../../snapshot/cluster/filter.ts';
import type { VmSnapshotter } from '../../snapshot/cluster/interfaces.ts';
import type { SnapshotTimeline } from '../../snapshot/cluster/timeline.ts';
import type { SnapshotFolder } from '../../snapshot/image/store.ts';
import type { MachineSnapshotter } from '../../snapshot/machine-snapshotter.ts';
import type { Machine } from '../../vmm/machine.ts';
import { compiledMain } from '../cli/compiled.ts';
import { TestHome } from '../cli/home.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { logOf, type MessageLog, orphans } from './support/message-log.ts';
import { allReports, opsOf, reportOf, TestCluster } from './support/test-cluster.ts';

const test = suite('filter');
let home: TestHome;
test.before(async () => {
  if (lacksKvm() === undefined) home = await TestHome.create();
});
test.after(async () => home?.remove());

const text = `
name: filter
defaults: { image: bench, memory: 64MiB }
vms:
  server:
    args: [tcp-server, port=7, trace=1]
    nets: [{ network: lan, ip: 10.0.0.1/24 }]
  client:
    args: [tcp-client, peer=10.0.0.1, port=7, trace=1]
    nets: [{ network: lan, ip: 10.0.0.2/24 }]
networks: { lan: {} }
`;

/** All that a guest wrote before it was paused has been read after this: consoles are looked at every 200 ms. */
const CONSOLE_MS = 450;
const ENOUGH_MESSAGES = 20;
const HELD_BACK_MS = 300;
const PATIENCE_MS = 300_000;

/** Compiled, as its threads start ten times faster than from the sources; all from there, so that each exists once. */
const compiled = async <Module>(path: string): Promise<Module> =>
  (await import(join(dirname(compiledMain()), '..', path))) as Module;

class TracedVm {
  readonly lines: string[] = [];
  readonly machine: Machine;
  /** What it had logged at its cut. */
  atCut: MessageLog | undefined;

  constructor(cluster: RunningCluster, name: string, machine: Machine) {
    this.machine = machine;
    cluster.vm(name).console.on('line', line => this.lines.push(line));
  }

  get received(): number {
    return logOf(this.lines).received.size;
  }
}

/** Lets VMs cut one after the other, and the one that was cut talk on before the next is. */
class Stagger {
  private turn: Promise<unknown> = Promise.resolve();
  private readonly vms: readonly TracedVm[];
  private readonly mode: FilterModeName;

  constructor(vms: readonly TracedVm[], mode: FilterModeName) {
    this.vms = vms;
    this.mode = mode;
  }

  wrap(inner: MachineSnapshotter, vm: TracedVm): VmSnapshotter<SnapshotFolder> {
    return {
      prepare: (epoch, image) => inner.prepare(epoch, image),
      save: (epoch, onProgress) => inner.save(epoch, onProgress),
      abort: epoch => inner.abort(epoch),
      cut: (epoch, cross) => {
        const cut = this.turn.then(() => this.cut(vm, () => inner.cut(epoch, cross)));
        this.turn = cut.catch(() => {}).then(() => this.letTalk());
        return cut;
      },
    };
  }

  private async cut<Report>(vm: TracedVm, cut: () => Promise<Report>): Promise<Report> {
    await vm.machine.pause();
    await sleep(CONSOLE_MS);
    vm.atCut = logOf(vm.lines);
    const report = await cut();
    vm.machine.resume();
    return report;
  }

  /** With the filter only what was on its way can arrive: a while is enough to see that. */
  private async letTalk(): Promise<void> {
    const wait_ms = this.mode === 'off' ? PATIENCE_MS : HELD_BACK_MS;
    const before = this.vms.map(vm => vm.received);
    const begun_ms = performance.now();
    while (performance.now() - begun_ms < wait_ms) {
      if (this.vms.every((vm, i) => vm.received >= (before[i] as number) + ENOUGH_MESSAGES)) return;
      await sleep(20);
    }
  }
}

interface Cut {
  readonly timeline: SnapshotTimeline;
  readonly orphans: readonly string[];
}

/** One snapshot with staggered cuts of a cluster in this process; it is left in the home as filter/MODE. */
async function cutStaggered(mode: FilterModeName): Promise<Cut> {
  process.env.TSVMM_HOME = home.path;
  const { HostParts } =
    await compiled<typeof import('../../cli/cluster/host-parts.ts')>('cli/cluster/host-parts.js');
  const { RunningCluster } =
    await compiled<typeof import('../../cli/cluster/cluster.ts')>('cli/cluster/cluster.js');
  const parts = HostParts.open(AbortSignal.timeout(300_000));
  mkdirSync(join(home.path, 'run/filter'), { recursive: true });
  const cluster = await RunningCluster.create(parseCluster('filter.yaml', text), parts, {
    logDirectory: home.path,
  });
  try {
    await parts.networks?.ready();
    const vms = new Map(
      [...parts.machines].map(([name, machine]) => [name, new TracedVm(cluster, name, machine)]),
    );
    cluster.start();
    while ([...vms.values()].some(vm => vm.received < ENOUGH_MESSAGES)) await sleep(20);
    const timeline = await takeStaggered(parts, vms, mode);
    const [server, client] = ['server', 'client'].map(name => vms.get(name)?.atCut as MessageLog);
    return { timeline, orphans: orphans(client as MessageLog, server as MessageLog) };
  } finally {
    await cluster.stop();
    await parts.close();
    rmSync(join(home.path, 'run/filter'), { recursive: true });
  }
}

async function takeStaggered(
  parts: HostParts,
  vms: ReadonlyMap<string, TracedVm>,
  mode: FilterModeName,
): Promise<SnapshotTimeline> {
  const { SnapshotDriver } = await compiled<typeof import('../../snapshot/cluster/driver.ts')>(
    'snapshot/cluster/driver.js',
  );
  const { SnapshotStore } =
    await compiled<typeof import('../../snapshot/image/store.ts')>('snapshot/image/store.js');
  const { MachineSnapshotter } = await compiled<typeof import('../../snapshot/machine-snapshotter.ts')>(
    'snapshot/machine-snapshotter.js',
  );
  const { networks } = parts;
  if (networks === undefined) throw new Error('the cluster has no networks');
  const stagger = new Stagger([...vms.values()], mode);
  const snapshotters: MachineSnapshotter[] = [];
  const members = [...vms].map(([name, vm]) => {
    const ports = networks.portsOf(name);
    const inner = new MachineSnapshotter(vm.machine, ports, []);
    snapshotters.push(inner);
    return { name, ports, snapshotter: stagger.wrap(inner, vm) };
  });
  const folder = join(home.path, 'snapshots/filter');
  const store = new SnapshotStore({
    cluster: 'filter',
    folder,
    configuration: { file: 'filter.yaml', text },
  });
  store.expect(mode, { method: 'hotsnap', cow: 'mprotect', filter: mode, compression: 'none' });
  const driver = new SnapshotDriver({
    epoch: 0,
    vms: members,
    network: networks.epochSwitch,
    store,
    clock: {
      now_us: () => performance.now() * 1000,
      schedule: (time_us, callback) => {
        const timer = setTimeout(callback, Math.max(0, time_us / 1000 - performance.now()));
        return () => clearTimeout(timer);
      },
    },
    limits: { cutTimeout_us: 2 * PATIENCE_MS * 1000 },
  });
  try {
    return await driver.snapshot({ name: mode, mode, timeout_us: 300e6 });
  } finally {
    await Promise.all(snapshotters.map(snapshotter => snapshotter.close()));
  }
}

const hostTest = (name: string, body: () => Promise<void>) => testUnless(lacksKvm(), test, name, body);

hostTest('off: messages are received before they are sent', async () => {
  const cut = await cutStaggered('off');
  console.log(
    `off: ${cut.orphans.length} messages received before they were sent, such as ${cut.orphans[0]}`,
  );
  assert.ok(cut.orphans.length > 0);
  const { held_count, dropped_count, recorded_count } = cut.timeline.frames;
  assert.is(held_count + dropped_count + recorded_count, 0);
});

for (const mode of ['hold', 'drop'] as const) {
  hostTest(`${mode}: no message is received before it is sent, and what is restored talks on`, async () => {
    const cut = await cutStaggered(mode);
    assert.equal(cut.orphans, []);
    const { frames } = cut.timeline;
    assert.ok((mode === 'hold' ? frames.held_count : frames.dropped_count) > 0, JSON.stringify(frames));
    const cluster = await TestCluster.restore(home, `filter/${mode}`, 'filter-again');
    const done = await cluster.until(stats => Number(reportOf(stats, 'client', 'tcp-client')?.ops) > 0);
    const ops = opsOf(done, 'client', 'tcp-client');
    const stats = await cluster.until(now => opsOf(now, 'client', 'tcp-client') > ops + ENOUGH_MESSAGES);
    for (const report of allReports(stats)) assert.is(report.errors, 0);
    await cluster.stop();
  });
}

test.run();
