import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { macFor, Networks } from '../../net/index.ts';
import { formatMac } from '../../net/mac.ts';
import type { NicPlug } from '../../net/nic-plug.ts';
import { ethernetFrame, FakeNic, type ReceivedFrame } from './support/fake-nic.ts';

const A = 0x520000000001;
const B = 0x520000000002;
const C = 0x520000000003;
const DEADLINE_MS = 20_000;

const test = suite('networks');

interface Member {
  readonly nic: FakeNic;
  readonly plug: NicPlug;
}

async function withNetworks(body: (networks: Networks) => Promise<void>): Promise<void> {
  const networks = new Networks();
  try {
    await body(networks);
  } finally {
    await networks.stop();
  }
}

async function join(networks: Networks, network: string, mac: number, name = 'net0'): Promise<Member> {
  const plug = networks.nic({ name, network, mac: formatMac(mac) });
  const nic = new FakeNic({ mac, name: `vm${mac % 256}/${name}` });
  const { address, length, cow } = nic.guest.ram;
  await plug.attach(nic.device.attachment, { address, length, cow });
  await plug.attached;
  return { nic, plug };
}

async function leave({ nic, plug }: Member): Promise<void> {
  await plug.detach();
  nic.close();
}

async function until<Value>(what: () => Value | undefined): Promise<Value> {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const value = what();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error('it did not happen');
    await sleep(1);
  }
}

const nextFrame = ({ nic }: Member): Promise<ReceivedFrame> => until(() => nic.receive());
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    error => error.code,
  );

test('Networks: frames cross the thread in both directions, many of them', () =>
  withNetworks(async networks => {
    await networks.create({ name: 'lan' });
    const [a, b] = [await join(networks, 'lan', A), await join(networks, 'lan', B)];
    for (let i = 0; i < 100; i++) {
      a.nic.send(ethernetFrame(B, A, 100, i));
      assert.equal((await nextFrame(b)).frame, ethernetFrame(B, A, 100, i));
      b.nic.send(ethernetFrame(A, B, 1500, i));
      assert.equal((await nextFrame(a)).frame, ethernetFrame(A, B, 1500, i));
    }
    assert.ok(a.nic.device.takeInterrupt());
    const status = await until(() =>
      networks.status('lan').find(({ counters }) => counters.received_frames === 100),
    );
    assert.is(status.kind, 'nic');
    await leave(a);
    await leave(b);
  }));

test('Networks: one VM leaves and another takes its place while two others talk', () =>
  withNetworks(async networks => {
    await networks.create({ name: 'lan' });
    const [a, b] = [await join(networks, 'lan', A), await join(networks, 'lan', B)];
    for (let round = 0; round < 5; round++) {
      const c = await join(networks, 'lan', C);
      c.nic.send(ethernetFrame(A, C, 200, round));
      a.nic.send(ethernetFrame(B, A, 100, round));
      assert.equal((await nextFrame(a)).frame, ethernetFrame(A, C, 200, round));
      assert.equal((await nextFrame(b)).frame, ethernetFrame(B, A, 100, round));
      await leave(c);
    }
    assert.is(networks.status('lan').length, 2);
    await leave(a);
    await leave(b);
  }));

test('Networks: who wants to know of it hears of a detached NIC while the switch still has its port', () =>
  withNetworks(async networks => {
    await networks.create({ name: 'lan' });
    const seen: number[] = [];
    const onDetach = () => seen.push(networks.status('lan').length);
    const plug = networks.nic({ name: 'net0', network: 'lan', mac: formatMac(A), onDetach });
    const nic = new FakeNic({ mac: A });
    const { address, length, cow } = nic.guest.ram;
    await plug.attach(nic.device.attachment, { address, length, cow });
    assert.equal(seen, []);
    await plug.detach();
    await plug.detach();
    nic.close();
    assert.equal(seen, [1]);
    assert.equal(networks.status('lan'), []);
  }));

test('Networks: two networks do not mix, though they share the thread', () =>
  withNetworks(async networks => {
    await networks.create({ name: 'left' });
    await networks.create({ name: 'right' });
    const members = [
      await join(networks, 'left', A),
      await join(networks, 'left', B),
      await join(networks, 'right', A),
      await join(networks, 'right', B),
    ] as const;
    members[0].nic.send(ethernetFrame(0xffffffffffff, A, 60, 1));
    members[2].nic.send(ethernetFrame(0xffffffffffff, A, 60, 2));
    assert.is((await nextFrame(members[1])).frame[14], 15);
    assert.is((await nextFrame(members[3])).frame[14], 16);
    assert.is(members[1].nic.receive(), undefined);
    for (const member of members) await leave(member);
  }));

test('Networks: impairments come and go, delays are kept', () =>
  withNetworks(async networks => {
    await networks.create({ name: 'lan' });
    const [a, b] = [await join(networks, 'lan', A), await join(networks, 'lan', B)];
    await networks.impair('lan', 'vm1/net0', { delay_us: 30_000 });
    const started = performance.now();
    a.nic.send(ethernetFrame(B, A));
    await nextFrame(b);
    assert.ok(performance.now() - started >= 29);
    await networks.impair('lan', 'vm1/net0', { loss: 1 });
    a.nic.send(ethernetFrame(B, A));
    await until(() => networks.status().find(({ counters }) => counters.impaired_frames === 1));
    await networks.impair('lan', 'vm1/net0', undefined);
    a.nic.send(ethernetFrame(B, A, 60, 9));
    assert.equal((await nextFrame(b)).frame, ethernetFrame(B, A, 60, 9));
    assert.is(await code(networks.impair('lan', 'vm1/net0', { loss: 7 })), 'TSVMM_E_CONFIG');
    await leave(a);
    await leave(b);
  }));

test('Networks.capture: a stream is written until it is stopped, one for a network at a time', () =>
  withNetworks(async networks => {
    await networks.create({ name: 'lan' });
    const [a, b] = [await join(networks, 'lan', A), await join(networks, 'lan', B)];
    const sink = new PassThrough();
    const capture = await networks.capture('lan', sink);
    assert.is(await code(networks.capture('lan', new PassThrough())), 'TSVMM_E_CONFLICT');
    a.nic.send(ethernetFrame(B, A, 777));
    await nextFrame(b);
    await capture.stop();
    const stream = sink.read() as Buffer;
    assert.ok(stream.includes(Buffer.from(ethernetFrame(B, A, 777))));
    const second = await networks.capture('lan', new PassThrough());
    await networks.destroy('lan');
    await second.ended;
    await leave(a);
    await leave(b);
    assert.is(await code(a.plug.attach(a.nic.device.attachment, a.nic.guest.ram)), 'TSVMM_E_NOT_FOUND');
  }));

test('Networks: mistakes get their codes and leave nothing behind', () =>
  withNetworks(async networks => {
    await networks.create({ name: 'lan' });
    assert.is(await code(networks.create({ name: 'lan' })), 'TSVMM_E_CONFLICT');
    assert.is(await code(networks.create({ name: 'odd', mtu: 20 })), 'TSVMM_E_CONFIG');
    assert.is(await code(networks.create({ name: 'odd', impairment: { loss: 2 } })), 'TSVMM_E_CONFIG');
    assert.is(await code(networks.create({ name: 'odd', tap: { name: 'a/b' } })), 'TSVMM_E_CONFIG');
    assert.is(await code(networks.destroy('odd')), 'TSVMM_E_NOT_FOUND');
    assert.is(await code(networks.impair('lan', 'nobody', undefined)), 'TSVMM_E_NOT_FOUND');
    assert.throws(() => networks.nic({ name: 'net0', network: 'odd', mac: macFor('a') }), /no network odd/);
    assert.throws(() => networks.nic({ name: 'net0', network: 'lan', mac: 'x' }), /not the MAC address/);
    const a = await join(networks, 'lan', A);
    assert.is(await code(join(networks, 'lan', A)), 'TSVMM_E_CONFLICT');
    await leave(a);
    await leave(await join(networks, 'lan', A));
    assert.is(networks.status().length, 0);
  }));

test('Networks: a thread that fails is told once, requests end, and stopping still works', async () => {
  const networks = new Networks({ callerUrl: import.meta.url, relative: './support/failing-thread' });
  const failures: Error[] = [];
  networks.onFailure = error => failures.push(error);
  assert.is(await code(networks.create({ name: 'lan' })), 'TSVMM_E_WORKER');
  assert.is(await code(networks.create({ name: 'lan' })), 'TSVMM_E_WORKER');
  await networks.stop();
  assert.equal(
    failures.map(({ message }) => message),
    ['the thread ./support/failing-thread failed'],
  );
});

test('macFor: the same name gives the same address, that of a network card', () => {
  assert.is(macFor('pair/server/net0'), macFor('pair/server/net0'));
  assert.not.equal(macFor('pair/server/net0'), macFor('pair/client/net0'));
  assert.match(macFor('x'), /^52(:[0-9a-f]{2}){5}$/);
});

test.run();
