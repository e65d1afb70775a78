/**
 * Sixteen guests of 64 MiB in one process. TSVMM_TEST_GUESTS (16): fewer talk to all others on an emulated processor, which
 * is too slow for the timers of 240 connections.
 */
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCluster } from '../../cli/config/load.ts';
import type { ResolvedCluster } from '../../cli/config/resolved.ts';
import { compiledMain } from '../cli/compiled.ts';
import { TestHome } from '../cli/home.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { processResources } from '../support/process-resources.ts';
import { testUnless } from '../support.ts';
import { lacksTaps, NetworkNamespace } from './support/network-namespace.ts';
import { allReports, reportOf, TestCluster } from './support/test-cluster.ts';

const test = suite('sixteen');
const COUNT = 16;
const TALKING_COUNT = Number(process.env.TSVMM_TEST_GUESTS ?? COUNT);
let home: TestHome;
test.before(async () => {
  if (lacksKvm() === undefined) home = await TestHome.create();
});
test.after(async () => home?.remove());

const addressOf = (index: number) => `10.0.0.${index + 1}`;

/** Each guest is a server, and a client of all others. */
function text(count: number, network: string, disk = ''): string {
  const vms = Array.from({ length: count }, (_, i) => {
    const peers = Array.from({ length: count }, (_, j) => j)
      .filter(j => j !== i)
      .map(addressOf);
    const client = peers.length === 0 ? '' : `, +, tcp-client, "peer=${peers.join()}", port=7`;
    return `  n${i}: { args: [tcp-server, port=7${client}], nets: [{ network: lan, ip: ${addressOf(i)}/24 }]${disk} }`;
  });
  return [
    'name: sixteen',
    'defaults: { image: bench, memory: 64MiB }',
    'vms:',
    ...vms,
    `networks: { lan: ${network} }`,
  ].join('\n');
}

testUnless(
  lacksKvm() ?? lacksTaps(),
  test,
  'boot, each talks to all others, and stop leaves no process, tap or directory',
  async () => {
    const namespace = new NetworkNamespace();
    try {
      const file = home.write('sixteen.yaml', text(TALKING_COUNT, '{ tap: tsvmm0 }'));
      const cluster = await TestCluster.start(home, file, { namespace });
      const stats = await cluster.until(now =>
        now.vms.every(({ name }) =>
          ['tcp-server', 'tcp-client'].every(workload => {
            const report = reportOf(now, name, workload);
            return report?.conns === TALKING_COUNT - 1 && Number(report.ops) >= 10 * TALKING_COUNT;
          }),
        ),
      );
      assert.is(allReports(stats).length, 2 * TALKING_COUNT);
      for (const report of allReports(stats)) assert.is(report.errors, 0, JSON.stringify(report));
      await cluster.stop();
      assert.equal(namespace.links, []);
      assert.equal(home.runs, []);
    } finally {
      namespace.remove();
    }
  },
);

/** Compiled, as its threads start ten times faster than from the sources. */
async function compiled() {
  const modules = join(dirname(compiledMain()), 'cluster');
  const [{ HostParts }, { RunningCluster }] = (await Promise.all([
    import(join(modules, 'host-parts.js')),
    import(join(modules, 'cluster.js')),
  ])) as [typeof import('../../cli/cluster/host-parts.ts'), typeof import('../../cli/cluster/cluster.ts')];
  return async (config: ResolvedCluster) => {
    const parts = HostParts.open(AbortSignal.timeout(600_000));
    const cluster = await RunningCluster.create(config, parts, { logDirectory: home.path });
    cluster.start();
    await cluster.booted(600_000);
    const held = processResources();
    await cluster.stop();
    await parts.close();
    // What else the run directory of a command is for.
    rmSync(join(home.path, 'run', config.name), { recursive: true });
    return held;
  };
}

testUnless(lacksKvm(), test, 'a process that has stopped them holds what it held before', async () => {
  process.env.TSVMM_HOME = home.path;
  const cycle = await compiled();
  const disk = ', disks: [{ size: 4MiB }]';
  const config = (name: string, count: number) =>
    parseCluster('sixteen.yaml', text(count, '{}', disk), { name });
  await cycle(config('first', 1));
  const before = processResources();
  const held = await cycle(config('second', COUNT));
  assert.is(held.vcpuMappings - before.vcpuMappings, COUNT);
  assert.ok(held.largeMappings - before.largeMappings >= COUNT);
  assert.equal(processResources(), before);
});

test.run();
