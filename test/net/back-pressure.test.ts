import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ethernetFrame, sourceOf } from './support/fake-nic.ts';
import { withSwitch } from './support/fake-switch.ts';

const A = 0x520000000001;
const B = 0x520000000002;
const C = 0x520000000003;

const test = suite('back-pressure');

test(
  'Exchange: frames for a receiver without buffers wait in order, and arrive when buffers come',
  withSwitch({}, lan => {
    const a = lan.add({ mac: A });
    const b = lan.add({ mac: B, receiveBuffers: 0 });
    for (let i = 0; i < 10; i++) a.send(ethernetFrame(B, A, 100, i));
    lan.run();
    assert.is(a.reclaim(), 10, 'the sender has its buffers back');
    assert.is(lan.counters(b).queued_frames, 10);
    for (let i = 0; i < 3; i++) b.offer();
    b.receiveQueue.kick();
    lan.run();
    for (let i = 0; i < 7; i++) b.offer();
    b.receiveQueue.kick();
    a.send(ethernetFrame(B, A, 100, 10));
    b.offer();
    b.receiveQueue.kick();
    lan.run();
    assert.equal(
      b.receiveAll({ repost: false }).map(({ frame }) => frame),
      Array.from({ length: 11 }, (_, i) => ethernetFrame(B, A, 100, i)),
    );
    assert.is(lan.counters(b).overflow_frames, 0);
  }),
);

test(
  'Exchange: a queue that is full drops and counts, and the others are undisturbed',
  withSwitch({}, lan => {
    const a = lan.add({ mac: A });
    const b = lan.add({ mac: B, receiveBuffers: 0 });
    const c = lan.add({ mac: C });
    let received = 0;
    for (let i = 0; i < 3000; i++) {
      a.send(ethernetFrame(B, A));
      a.send(ethernetFrame(C, A));
      if (i % 20 === 0) lan.run();
      received += c.receiveAll().length;
    }
    lan.run();
    received += c.receiveAll().length;
    assert.is(received, 3000);
    const { queued_frames, overflow_frames } = lan.counters(b);
    assert.is(queued_frames + overflow_frames, 3000);
    assert.ok(queued_frames >= 1000 && overflow_frames > 0);
  }),
);

test(
  'Exchange: a frame larger than all buffers the driver ever offers does not block the port',
  withSwitch({ mtu: 9000 }, lan => {
    const a = lan.add({ mac: A, mtu: 9000 });
    const b = lan.add({ mac: B, mtu: 9000, receiveBuffers: 2 });
    a.send(ethernetFrame(B, A, 5000));
    a.send(ethernetFrame(B, A, 100, 7));
    lan.run();
    assert.equal(b.receiveAll(), []);
    lan.advance(101_000);
    assert.equal(
      b.receiveAll().map(({ frame }) => frame),
      [ethernetFrame(B, A, 100, 7)],
    );
    assert.is(lan.counters(b).refused_frames, 1);
  }),
);

test(
  'Exchange: a receiver whose lock is held gets its frames later, in order; nobody waits for it',
  withSwitch({}, lan => {
    const [a, b, c] = [lan.add({ mac: A }), lan.add({ mac: B }), lan.add({ mac: C })];
    b.device.state.lock.acquire();
    for (let i = 0; i < 5; i++) a.send(ethernetFrame(B, A, 100, i));
    a.send(ethernetFrame(C, A));
    lan.run();
    assert.is(c.receiveAll().length, 1);
    assert.equal(b.receiveAll(), []);
    b.device.state.lock.release();
    lan.advance(200);
    assert.equal(
      b.receiveAll().map(({ frame }) => frame),
      Array.from({ length: 5 }, (_, i) => ethernetFrame(B, A, 100, i)),
    );
    assert.ok(lan.counters(b).busy > 0);
  }),
);

test(
  'Exchange: while a full receiver is locked its senders wait, and no frame is lost',
  withSwitch({}, lan => {
    const [a, b] = [lan.add({ mac: A }), lan.add({ mac: B })];
    b.device.state.lock.acquire();
    for (let i = 0; i < 1200; i++) {
      a.send(ethernetFrame(B, A, 100, i));
      if (i % 100 === 99) lan.advance(10);
      if (a.transmitQueue.freeCount === 0) break;
    }
    lan.advance(10);
    const sent = 1024 + 176;
    b.device.state.lock.release();
    const received = [];
    for (let i = 0; i < 40; i++) {
      lan.advance(200);
      received.push(...b.receiveAll());
    }
    assert.is(received.length, sent);
    assert.equal(
      received.map(({ frame }) => frame[20]),
      Array.from({ length: sent }, (_, i) => (i + 20) & 0xff),
    );
    assert.ok(lan.counters(a).blocked > 0);
    assert.is(lan.counters(b).overflow_frames, 0);
  }),
);

test(
  'Exchange: a sender whose lock is held sends later',
  withSwitch({}, lan => {
    const [a, b] = [lan.add({ mac: A }), lan.add({ mac: B })];
    a.device.state.lock.acquire();
    a.send(ethernetFrame(B, A));
    lan.run();
    assert.equal(b.receiveAll(), []);
    a.device.state.lock.release();
    lan.advance(200);
    assert.is(b.receiveAll().length, 1);
  }),
);

test(
  'Engine: ports take turns, so that one that never stops does not starve another',
  withSwitch({}, lan => {
    const a = lan.add({ mac: A, guestBytes: 8 * 2 ** 20 });
    const b = lan.add({ mac: B });
    const c = lan.add({ mac: C, receiveBuffers: 256 });
    for (let i = 0; i < 250; i++) a.send(ethernetFrame(C, A, 1500), { kick: i === 249 });
    b.send(ethernetFrame(C, B));
    lan.run();
    const order = c.receiveAll({ repost: false }).map(({ frame }) => sourceOf(frame));
    assert.is(order.length, 251);
    assert.ok(order.indexOf(B) < 150, `came after ${order.indexOf(B)} frames`);
  }),
);

test(
  'Exchange: senders that all press a slow receiver get the same of it, whoever has its turn first',
  withSwitch({ poolChunks: 16 * 1024 }, lan => {
    const receiver = lan.add({ mac: A, receiveBuffers: 64, guestBytes: 2 ** 20 });
    const macs = [B, C, C + 1, C + 2];
    const senders = macs.map(mac => lan.add({ mac }));
    const got = new Map<number, number>(macs.map(mac => [mac, 0]));
    for (let round = 0; round < 200; round++) {
      for (const sender of senders) {
        sender.reclaim();
        for (let i = 0; i < 50; i++) sender.send(ethernetFrame(A, sender.mac), { kick: i === 49 });
      }
      lan.advance(50);
      for (const { frame } of receiver.receiveAll()) {
        const source = sourceOf(frame);
        got.set(source, (got.get(source) as number) + 1);
      }
      receiver.receiveQueue.kick();
    }
    const counts = [...got.values()];
    assert.ok(lan.counters(receiver).overflow_frames > 1000, 'they press');
    assert.ok(Math.min(...counts) > 0.7 * Math.max(...counts), counts.join());
  }),
);

test.run();
