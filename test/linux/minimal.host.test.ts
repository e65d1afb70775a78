/**
 * examples/linux-pair.yaml: two minimal Linux guests boot, fetch a file from each other with its checksum, and go on doing so
 * across a snapshot and a restore. The image is not built for this test, since that takes minutes:
 *
 *   tsvmm image build linux
 *   npx tsx test/linux/minimal.host.test.ts
 *
 * TSVMM_LINUX_PATIENCE (300): seconds until something counts as hanging.
 */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findImage, imageStore } from '../../cli/image/images.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { LinuxHome } from './support/linux-cluster.ts';

const test = suite('minimal Linux guests');
const example = join(import.meta.dirname, '../../examples/linux-pair.yaml');
const PATIENCE_MS = 1000 * Number(process.env.TSVMM_LINUX_PATIENCE ?? 300);
const TRANSFERS = 2;

async function lacksImage(): Promise<string | undefined> {
  const obstacle = lacksKvm();
  if (obstacle !== undefined) return obstacle;
  const built = await imageStore().fresh(findImage('linux'));
  return built === undefined ? 'not built: tsvmm image build linux' : undefined;
}

/** Transfers that the client of a cluster has checked. */
async function transfers(home: LinuxHome, cluster: string): Promise<number> {
  const stats = JSON.parse(await home.tsvmm('stats', cluster, '--once', '--format', 'json')) as {
    vms: { name: string; state: string; reports: { workload?: string; ops?: number; errors?: number }[] }[];
  };
  const { state, reports } = stats.vms.find(({ name }) => name === 'client') ?? {
    state: 'none',
    reports: [],
  };
  assert.is(state, 'running');
  const report = reports.find(({ workload }) => workload === 'http-client');
  assert.is(report?.errors ?? 0, 0);
  return report?.ops ?? 0;
}

async function untilTransfers(home: LinuxHome, cluster: string, wanted: number): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while ((await transfers(home, cluster)) < wanted) {
    assert.ok(Date.now() < deadline, `${wanted} transfers in ${PATIENCE_MS} ms`);
    await new Promise(resolve => setTimeout(resolve, 500));
  }
}

testUnless(await lacksImage(), test, 'checksums are right, across a snapshot and a restore', async () => {
  const home = new LinuxHome();
  try {
    const started = Date.now();
    await home.run(example);
    console.log(`both have booted after ${((Date.now() - started) / 1000).toFixed(1)} s`);
    await untilTransfers(home, 'linux-pair', TRANSFERS);
    const { vms } = await home.snap('linux-pair', '--name', 's1');
    for (const { name, downtime_us, fallbacks } of vms) {
      console.log(`${name}: down ${(downtime_us / 1000).toFixed(1)} ms`);
      assert.is(fallbacks, 0, name);
    }
    await untilTransfers(home, 'linux-pair', (await transfers(home, 'linux-pair')) + TRANSFERS);
    await home.tsvmm('stop', 'linux-pair', '--timeout', '0');
    await home.tsvmm('restore', '-d', 'linux-pair/s1');
    // Reports begin anew with the process; the client's own count goes on.
    await untilTransfers(home, 'linux-pair', 2 * TRANSFERS);
  } finally {
    await home.stop();
  }
});

test.run();
