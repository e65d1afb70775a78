/**
 * Taps against the kernel. The whole file runs in a network and mount namespace of its own, which end with it: nothing
 * that it makes is visible outside.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Networks } from '../../../net/index.ts';
import { formatMac } from '../../../net/mac.ts';
import { openTap } from '../../../net/tap/tap-device.ts';
import { lacksDevice, testUnless } from '../../support.ts';
import { FakeNic } from '../support/fake-nic.ts';
import { transferThroughSwitch } from '../support/two-taps.ts';
import { AnsweringGuest } from '../support/udp-guest.ts';

const INSIDE = 'TSVMM_TEST_NAMESPACE';
const obstacle =
  lacksDevice('/dev/net/tun') ??
  (process.getuid?.() === 0 ? undefined : 'needs root, for a network namespace');

const test = suite('tap');
const ip = (...words: string[]) => execFileSync('ip', words, { encoding: 'utf8' });
const code = (work: () => unknown) => {
  try {
    work();
    return 'no error';
  } catch (error) {
    return (error as { code: string }).code;
  }
};
const exists = (name: string) => spawnSync('ip', ['link', 'show', name]).status === 0;

testUnless(
  obstacle,
  test,
  'openTap: creates an interface that is up, with MTU and address, and takes it away',
  () => {
    const tap = openTap({ name: 'tsvmm-t0', address: '10.77.0.254/24' }, 3000);
    const shown = ip('addr', 'show', 'tsvmm-t0');
    assert.match(shown, /<.*\bUP\b.*> mtu 3000/);
    assert.match(shown, /inet 10\.77\.0\.254\/24/);
    assert.not(tap.adopted);
    tap.close();
    assert.not(exists('tsvmm-t0'));
  },
);

testUnless(obstacle, test, 'openTap: takes over an interface that is there, and leaves it there', () => {
  ip('tuntap', 'add', 'kept0', 'mode', 'tap');
  ip('tuntap', 'add', 'kept1', 'mode', 'tap', 'multi_queue');
  for (const name of ['kept0', 'kept1']) {
    const tap = openTap({ name }, 1500);
    assert.ok(tap.adopted, name);
    assert.match(ip('link', 'show', name), /\bUP\b/);
    tap.close();
    assert.ok(exists(name));
  }
});

testUnless(
  obstacle,
  test,
  "openTap: what cannot be a tap, or is somebody else's, is refused with its code",
  () => {
    for (const name of ['', 'a/b', 'a b', '..', 'sixteen-letters!', 'tap%d'])
      assert.is(
        code(() => openTap({ name }, 1500)),
        'TSVMM_E_CONFIG',
        name,
      );
    ip('link', 'add', 'veth-a', 'type', 'veth', 'peer', 'name', 'veth-b');
    assert.is(
      code(() => openTap({ name: 'veth-a' }, 1500)),
      'TSVMM_E_CONFIG',
    );
    const first = openTap({ name: 'busy0' }, 1500);
    assert.is(
      code(() => openTap({ name: 'busy0' }, 1500)),
      'TSVMM_E_CONFLICT',
    );
    first.close();
    for (const address of ['10.0.0.1', '10.0.0.1/33', 'fd00::1/64', '10.0.0/24', '10.0.0.1/x'])
      assert.is(
        code(() => openTap({ name: 'addr0', address }, 1500)),
        'TSVMM_E_CONFIG',
        address,
      );
    assert.not(exists('addr0'), 'nothing is left behind');
  },
);

testUnless(obstacle, test, 'openTap: without the device or the right to it the error says what to do', () => {
  process.seteuid?.(65534);
  try {
    assert.throws(
      () => openTap({ name: 'denied0' }, 1500),
      (error: { code: string; hint: string }) =>
        error.code === 'TSVMM_E_NET_PERMISSION' && /root/.test(error.hint),
    );
  } finally {
    process.seteuid?.(0);
  }
  execFileSync('mount', ['-t', 'tmpfs', 'none', '/dev/net']);
  try {
    assert.throws(
      () => openTap({ name: 'denied0' }, 1500),
      (error: { code: string; hint: string }) =>
        error.code === 'TSVMM_E_NET_PERMISSION' && /modprobe tun/.test(error.hint),
    );
  } finally {
    execFileSync('umount', ['/dev/net']);
  }
});

testUnless(
  obstacle,
  test,
  'Networks: the host talks to a guest through the tap, and the other way round',
  async () => {
    const networks = new Networks();
    const socket = createSocket('udp4');
    const mac = 0x520000000001;
    const nic = new FakeNic({ mac, name: 'vm/net0' });
    const guest = new AnsweringGuest(nic, [10, 78, 0, 1]);
    try {
      await networks.create({ name: 'lan', tap: { name: 'host0', address: '10.78.0.254/24' } });
      const plug = networks.nic({ name: 'net0', network: 'lan', mac: formatMac(mac) });
      const { address, length, cow } = nic.guest.ram;
      await plug.attach(nic.device.attachment, { address, length, cow });
      const question = Buffer.from('who is there? '.repeat(50));
      const answered = once(socket, 'message');
      socket.send(question, 7, '10.78.0.1');
      assert.equal((await answered)[0], question);
      assert.equal(guest.faults, []);
      await plug.detach();
      const tap = networks.status('lan').find(({ kind }) => kind === 'tap');
      assert.is(tap?.epoch, -1);
      assert.ok((tap?.counters.sent_frames ?? 0) >= 2 && (tap?.counters.received_frames ?? 0) >= 2);
    } finally {
      guest.stop();
      socket.close();
      await networks.stop();
      nic.close();
    }
    assert.not(exists('host0'));
  },
);

for (const [sender, receiver] of [
  [true, true],
  [true, false],
  [false, true],
] as const) {
  const kind = (offloads: boolean) => (offloads ? 'with offloads' : 'without');
  testUnless(
    obstacle,
    test,
    `TapPort: TCP between two kernels, from a tap ${kind(sender)} to one ${kind(receiver)}`,
    async () => {
      const { received_bytes, sum, expectedSum, counters } = await transferThroughSwitch(sender, receiver);
      assert.is(received_bytes, 8 * 2 ** 20);
      assert.is(sum, expectedSum);
      const mean = counters.from.sent_bytes / counters.from.sent_frames;
      // How much larger than the MTU is up to TCP, which makes shorter ones for slow peers.
      if (sender) assert.ok(mean > 1514, `frames of ${mean} bytes on average`);
      else assert.ok(mean <= 1514, `frames of ${mean} bytes on average`);
      const segmented = counters.to.segmented_frames > 50;
      assert.is(segmented, sender && !receiver);
      assert.is(counters.from.malformed_frames + counters.to.malformed_frames, 0);
    },
  );
}

// Ended from outside, the outer process cannot take the inner one with it.
if (process.env[INSIDE] !== undefined) {
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || process.exit(1), 1000).unref();
}

if (process.env[INSIDE] === undefined && obstacle === undefined) {
  const command = ['--net', '--mount', process.execPath, ...process.execArgv, import.meta.filename];
  const { status } = spawnSync('unshare', command, {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: '1' },
  });
  process.exitCode = status ?? 1;
} else {
  test.run();
}
