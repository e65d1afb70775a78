/**
 * examples/linux-pair.yaml: two minimal Linux guests boot, fetch a file from each other with its checksum, and go on doing so
 * across a snapshot and a restore. The image is not built for this test, since that takes minutes:
 *
 *   tsvmm image build linux
 *   npx tsx test/linux/minimal.host.test.ts
 *
 * TSVMM_LINUX_PATIENCE (300): seconds until something counts as hanging.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testUnless } from '../support.ts';
import { LinuxHome, PATIENCE_SECONDS } from './support/linux-cluster.ts';
import { lacksMinimal } from './support/minimal-image.ts';

const test = suite('minimal Linux guests');
const example = join(import.meta.dirname, '../../examples/linux-pair.yaml');
const PATIENCE_MS = 1000 * Number(PATIENCE_SECONDS);
const TRANSFERS = 2;

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

const obstacle = await lacksMinimal();

testUnless(obstacle, test, 'checksums are right, across a snapshot and a restore', async () => {
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

const allDevices = `
name: devices
vms:
  one:
    image: linux
    memory: 128MiB
    vcpus: 2
    console: virtio
    balloon: true
    disks: [{ size: 64MiB }]
`;

testUnless(obstacle, test, 'two processors, a disk, the virtio console and the balloon work', async () => {
  const home = new LinuxHome();
  try {
    const file = join(home.path, 'devices.yaml');
    writeFileSync(file, allDevices);
    await home.run(file);
    const console = await home.console('devices', 'one');
    await console.enter();
    assert.is(await console.output('grep -c ^processor /proc/cpuinfo'), '2');
    assert.match(await console.output('cat /proc/consoles'), /^hvc0/);
    await console.output('mke2fs /dev/vda >/dev/null 2>&1 && mkdir /disk && mount -t ext4 /dev/vda /disk');
    await console.output('data 4 /disk/file && sha1sum </disk/file >/tmp/sum && umount /disk');
    await console.output('mount -t ext4 /dev/vda /disk && sha1sum </disk/file | cmp - /tmp/sum');
    // Both processors at once, each with work of its own.
    await console.output('for i in 1 2; do (data 2 /tmp/$i; sha1sum /tmp/$i >/tmp/$i.sum) & done; wait');
    await console.output('[ "$(cut -c-40 /tmp/1.sum)" = "$(cut -c-40 /tmp/2.sum)" ]');
    const free_kib = async () => Number(await console.output("awk '/^MemFree/ { print $2 }' /proc/meminfo"));
    const before = await free_kib();
    await home.tsvmm('balloon', 'devices/one', '96MiB', '--timeout', PATIENCE_SECONDS);
    assert.ok(before - (await free_kib()) > 24 * 1024, 'the balloon took memory');
    await home.tsvmm('balloon', 'devices/one', '128MiB', '--timeout', PATIENCE_SECONDS);

    const { vms } = await home.snap('devices', '--name', 's1');
    assert.is(vms[0]?.fallbacks, 0);
    await home.tsvmm('stop', 'devices', '--timeout', '0');
    await home.tsvmm('restore', '-d', 'devices/s1');
    const restored = await home.console('devices', 'one');
    assert.is(await restored.output('sha1sum </disk/file | cmp - /tmp/sum && echo same'), 'same');
    restored.send('reboot -f');
    await home.untilEnded('devices', 'one', 'reset');
  } finally {
    await home.stop();
  }
});

test.run();
