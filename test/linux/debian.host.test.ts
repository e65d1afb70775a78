/**
 * Debian guests with their stock kernel: they boot to login, and programs that nobody here wrote do not notice snapshots
 * and restores. On real hardware this takes a few minutes, on an emulated processor half an hour:
 *
 *   tsvmm image build debian --packages iperf3,redis-server
 *   npx tsx test/linux/debian.host.test.ts
 *
 * TSVMM_LINUX_SNAPSHOTS (5): under file work. TSVMM_LINUX_REQUESTS (20000): of a kind in one round of redis-benchmark.
 * TSVMM_LINUX_TRANSFER_MIB (8): sent five times a second at most. TSVMM_LINUX_PATIENCE (300): seconds until something counts
 * as hanging. TSVMM_LINUX_VCPUS (1).
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testUnless } from '../support.ts';
import { lacksDebian, PACKAGES } from './support/debian-image.ts';
import { LinuxHome, PATIENCE_SECONDS, type SnapReport } from './support/linux-cluster.ts';
import type { LinuxConsole } from './support/linux-console.ts';
import {
  endRedisBenchmark,
  endTransfer,
  fileTurns,
  redisGoesOn,
  startFileWork,
  startRedis,
  startRedisBenchmark,
  startTransfer,
  transferGoesOn,
} from './support/workloads.ts';

const SNAPSHOTS = Number(process.env.TSVMM_LINUX_SNAPSHOTS ?? 5);
const REQUESTS = Number(process.env.TSVMM_LINUX_REQUESTS ?? 20_000);
const VCPUS = Number(process.env.TSVMM_LINUX_VCPUS ?? 1);
const TRANSFER_MIB = Number(process.env.TSVMM_LINUX_TRANSFER_MIB ?? 8);

const clusterFile = `
name: duo
defaults: { image: debian, packages: [${PACKAGES.join(', ')}], memory: 256MiB, vcpus: ${VCPUS}, balloon: true }
vms:
  server: { nets: [{ network: lan, ip: 10.0.0.1/24 }] }
  client: { nets: [{ network: lan, ip: 10.0.0.2/24 }] }
networks: { lan: }
`;

const test = suite('Debian guests');
const obstacle = await lacksDebian();
let home: LinuxHome;
let server: LinuxConsole;
let client: LinuxConsole;

function tell(what: string, report: SnapReport): void {
  const vms = report.vms.map(
    ({ name, downtime_us, cow_faults, fallbacks }) =>
      `${name} down ${(downtime_us / 1000).toFixed(1)} ms, ${cow_faults} faults, ${fallbacks} fallbacks`,
  );
  const { held, recorded } = report.frames;
  console.log(`${what}: ${vms.join('; ')}; frames ${held} held, ${recorded} recorded`);
}

async function openConsoles(): Promise<void> {
  server = await home.console('duo', 'server');
  client = await home.console('duo', 'client');
}

/** What goes wrong is told at once: uvu says nothing of what a hook throws, and the other tests may still take long. */
const told =
  (name: string, body: () => Promise<void>): (() => Promise<void>) =>
  () =>
    body().catch(error => {
      console.log(`${name}: ${error}`);
      throw error;
    });

test.before(
  told('boot', async () => {
    if (obstacle !== undefined) return;
    home = new LinuxHome();
    const file = join(home.path, 'duo.yaml');
    writeFileSync(file, clusterFile);
    const started = performance.now();
    await home.run(file);
    console.log(`booted in ${((performance.now() - started) / 1000).toFixed(0)} s`);
    await openConsoles();
    await Promise.all([server.login(), client.login()]);
  }),
);
test.after(async () => home?.stop());
/** What was under way still is, and ends without an error: nothing that was lost or came twice escapes it. */
async function talkGoesOn(across: string): Promise<void> {
  await redisGoesOn(client);
  await transferGoesOn(server, client);
  const rounds = await endTransfer(server, client);
  console.log(`across the ${across}: ${rounds * TRANSFER_MIB} MiB; ${await endRedisBenchmark(client)}`);
}

const linuxTest = (name: string, body: () => Promise<void>) =>
  testUnless(obstacle, test, name, told(name, body));

linuxTest('boot to login with all processors, disk, network, entropy, clock and balloon', async () => {
  assert.is(await server.output('nproc'), String(VCPUS));
  assert.is(await server.output('hostname'), 'server');
  assert.is(await server.output('findmnt -no SOURCE,FSTYPE / | tr -s " "'), '/dev/vda ext4');
  assert.match(await server.output('cat /sys/class/misc/hw_random/rng_available'), /virtio/);
  assert.is(
    await server.output('cat /sys/devices/system/clocksource/clocksource0/current_clocksource'),
    'kvm-clock',
  );
  await client.output('ping -c 3 -W 20 10.0.0.1');
  const before = await server.output(
    'echo written >/var/file; sync; echo 3 >/proc/sys/vm/drop_caches; cat /var/file',
  );
  assert.is(before, 'written');
});

linuxTest('the balloon takes memory and gives it back', async () => {
  // The total stays the same, as the driver may take its pages back when memory is short (DEFLATE_ON_OOM).
  const available_kib = async () =>
    Number(await server.output("awk '/^MemAvailable/ { print $2 }' /proc/meminfo"));
  const balloon = (size: string) => home.tsvmm('balloon', 'duo/server', size, '--timeout', PATIENCE_SECONDS);
  const before = await available_kib();
  await balloon('192MiB');
  const taken = before - (await available_kib());
  assert.ok(taken > 48 * 1024, `the guest has ${taken} KiB less`);
  await balloon('256MiB');
  const back = (await available_kib()) - before + taken;
  assert.ok(back > 48 * 1024, `and got ${back} KiB back`);
});

linuxTest(
  `${SNAPSHOTS} snapshots under file work: the guest finds all its files, no fault is guessed`,
  async () => {
    await startFileWork(server);
    for (let i = 0; i < SNAPSHOTS; i++) {
      const report = await home.snap('duo', '--name', 'work');
      tell(`file work ${i}`, report);
      for (const vm of report.vms) assert.is(vm.fallbacks, 0, `fallbacks of ${vm.name}`);
      await home.tsvmm('snap', 'rm', 'duo/work');
    }
    const turns = await fileTurns(server);
    await server.eventually(`[ $(cat /tmp/turns) -gt ${turns} ]`);
    await fileTurns(server);
    await server.output('pkill -f work.sh');
    // What the script has started goes on to its end.
    await server.eventually('rm -rf /var/work');
  },
);

linuxTest('a transfer and redis-benchmark go on across a snapshot, and again across a restore', async () => {
  await startRedis(server);
  console.log('redis-server runs');
  await startTransfer(server, client, '10.0.0.2', TRANSFER_MIB);
  console.log('the transfer runs');
  await startRedisBenchmark(client, '10.0.0.1', REQUESTS);
  await redisGoesOn(client);
  await transferGoesOn(server, client);
  const report = await home.snap('duo', '--name', 'talk');
  tell('redis and transfer', report);
  for (const vm of report.vms) assert.is(vm.fallbacks, 0, `fallbacks of ${vm.name}`);
  await talkGoesOn('snapshot');

  const uptime = Number((await server.output('cat /proc/uptime')).split(' ')[0]);
  await home.stop();
  await home.tsvmm('restore', '-d', 'duo/talk');
  await openConsoles();
  const restored = Number((await server.output('cat /proc/uptime')).split(' ')[0]);
  assert.ok(restored <= uptime + 120, `the clock went on from the cut: ${restored} s, ${uptime} s before`);
  await talkGoesOn('restore');
  for (const guest of [server, client]) {
    const complaints = await guest.run(
      'dmesg | grep -iE "soft lockup|self-detected stall|BUG:|Oops|I/O error"',
    );
    assert.is(complaints.text, '');
  }
});

linuxTest('reboot ends a VM and is told as a reset, poweroff as such; the other VM goes on', async () => {
  // At once: stopping services is systemd's matter, and takes long.
  client.send('systemctl reboot --force --force');
  await home.untilEnded('duo', 'client', 'reset');
  assert.is(await server.output('echo alive'), 'alive');
  server.send('systemctl poweroff --force --force');
  await home.untilEnded('duo', 'server', 'power-off');
});

test.run();
