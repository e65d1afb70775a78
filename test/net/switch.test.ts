import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BROADCAST } from '../../net/mac.ts';
import { NetFeature } from '../../vmm/devices/virtio/net/model.ts';
import { ethernetFrame, type FakeNic, sourceOf } from './support/fake-nic.ts';
import { withSwitch } from './support/fake-switch.ts';

const A = 0x520000000001;
const B = 0x520000000002;
const C = 0x520000000003;
const MULTICAST = 0x01005e000001;

const test = suite('switch');

test(
  'Network: a frame to a known address goes there, unchanged, and nowhere else',
  withSwitch({}, lan => {
    const [a, b, c] = [lan.add({ mac: A }), lan.add({ mac: B }), lan.add({ mac: C })];
    const frame = ethernetFrame(B, A, 1514);
    a.send(frame);
    lan.run();
    const received = b.receiveAll();
    assert.equal(received.length, 1);
    assert.equal(received[0]?.frame, frame);
    assert.equal(received[0]?.header, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    assert.equal(c.receiveAll(), []);
    assert.equal(a.receiveAll(), []);
    assert.equal(a.reclaim(), 1);
    assert.is(lan.counters(a).sent_bytes, 1514);
    assert.is(lan.counters(b).received_frames, 1);
  }),
);

test(
  'NetHandler: a frame is taken whatever the descriptors it is cut into',
  withSwitch({}, lan => {
    const [a, b] = [lan.add({ mac: A }), lan.add({ mac: B })];
    const splits = [[12], [4, 4, 4], [1, 20, 300], [12, 14], [26, 1], [200, 100, 100], Array(40).fill(7)];
    for (const [seed, split] of splits.entries()) {
      for (const indirect of [false, true]) {
        const frame = ethernetFrame(B, A, 700, seed);
        a.send(frame, { split, indirect });
        lan.run();
        assert.equal(b.receive()?.frame, frame, `${split} ${indirect}`);
      }
    }
  }),
);

test(
  'NetHandler.receive: one frame fills several mergeable buffers, pieces included',
  withSwitch({ mtu: 9000 }, lan => {
    const a = lan.add({ mac: A, mtu: 9000 });
    const b = lan.add({ mac: B, mtu: 9000, receiveBuffers: 0 });
    for (const pieces of [[300], [10, 290], [1, 1, 298], [100, 100, 100]]) {
      for (let i = 0; i < 8; i++) b.offer(300, pieces);
    }
    b.receiveQueue.kick();
    for (const length of [60, 288, 289, 588, 589, 5000]) {
      const frame = ethernetFrame(B, A, length, length);
      a.send(frame);
      lan.run();
      const received = b.receive({ repost: false });
      assert.equal(received?.frame, frame);
      assert.is(received?.buffers, Math.ceil((length + 12) / 300));
    }
  }),
);

test(
  'NetHandler.receive: without mergeable buffers a frame that does not fit one is refused, others go on',
  withSwitch({ mtu: 9000 }, lan => {
    const a = lan.add({ mac: A, mtu: 9000 });
    const b = lan.add({ mac: B, mtu: 9000, without: NetFeature.MRG_RXBUF, bufferBytes: 1600 });
    a.send(ethernetFrame(B, A, 1589));
    a.send(ethernetFrame(B, A, 1588));
    lan.run();
    assert.equal(
      b.receiveAll().map(({ frame, announcedBuffers }) => [frame.length, announcedBuffers]),
      [[1588, 1]],
    );
    assert.is(lan.counters(b).refused_frames, 1);
  }),
);

for (const [kind, to] of [
  ['broadcast', BROADCAST],
  ['multicast', MULTICAST],
  ['unknown', 0x5200000000ff],
] as const) {
  test(
    `Network: a ${kind} frame goes to all ports but the sender's`,
    withSwitch({}, lan => {
      const nics = [A, B, C].map(mac => lan.add({ mac }));
      nics[0]?.send(ethernetFrame(to, A));
      lan.run();
      assert.equal(
        nics.map(nic => nic.receiveAll().length),
        [0, 1, 1],
      );
      assert.is(lan.counters(nics[0] as FakeNic).flooded_frames, 1);
    }),
  );
}

test(
  'Network: an address is learned from what it sends, and forgotten after the ageing time',
  withSwitch({ ageing_us: 10e6 }, lan => {
    const [a, b, c] = [lan.add({ mac: A }), lan.add({ mac: B }), lan.add({ mac: C })];
    const BEHIND_B = 0x5200000000b1;
    const toBehindB = () => {
      a.send(ethernetFrame(BEHIND_B, A));
      lan.run();
      return [b.receiveAll().length, c.receiveAll().length];
    };
    assert.equal(toBehindB(), [1, 1], 'unknown');
    b.send(ethernetFrame(A, BEHIND_B));
    lan.run();
    assert.equal(toBehindB(), [1, 0], 'learned');
    lan.advance(9e6);
    assert.equal(toBehindB(), [1, 0], 'still known');
    c.send(ethernetFrame(A, BEHIND_B));
    lan.run();
    assert.equal(toBehindB(), [0, 1], 'moved');
    lan.advance(12e6);
    assert.equal(toBehindB(), [1, 1], 'forgotten');
  }),
);

test(
  'MacTable: a port that sends from countless addresses takes no room from the others, nor a fixed address',
  withSwitch({}, lan => {
    const [a, b, c] = [lan.add({ mac: A }), lan.add({ mac: B }), lan.add({ mac: C })];
    for (let i = 0; i < 2000; i++) {
      a.send(ethernetFrame(B, 0x540000000000 + i));
      if (i % 50 === 0) {
        lan.run();
        b.receiveAll();
      }
    }
    lan.run();
    assert.ok(lan.counters(a).unlearned_frames > 1000);
    a.send(ethernetFrame(B, C));
    lan.run();
    b.receiveAll();
    b.send(ethernetFrame(C, B));
    lan.run();
    assert.equal(
      c.receiveAll().map(({ frame }) => sourceOf(frame)),
      [B],
    );
    assert.ok(lan.network.table.size < 1000);
  }),
);

test(
  'NicPort: a driver that resets loses what waited for it and goes on afterwards',
  withSwitch({}, lan => {
    const a = lan.add({ mac: A });
    const b = lan.add({ mac: B, receiveBuffers: 0 });
    a.send(ethernetFrame(B, A, 100, 1));
    lan.run();
    b.device.setStatus(0);
    a.send(ethernetFrame(B, A, 100, 2));
    lan.run();
    assert.is(lan.counters(b).inactive_frames, 2);
    b.start();
    b.offer();
    b.receiveQueue.kick();
    a.send(ethernetFrame(B, A, 100, 3));
    lan.run();
    assert.equal(
      b.receiveAll().map(({ frame }) => frame),
      [ethernetFrame(B, A, 100, 3)],
    );
    b.send(ethernetFrame(A, B));
    lan.run();
    assert.is(a.receiveAll().length, 1);
  }),
);

test(
  'NicPort: a driver that breaks the rules must reset; its neighbours go on',
  withSwitch({}, lan => {
    const [a, b, c] = [lan.add({ mac: A }), lan.add({ mac: B }), lan.add({ mac: C })];
    b.receiveQueue.writeDescriptor(b.receiveQueue.descriptors, 0, {
      at: (2 ** 40) as never,
      length: 100,
      flags: 2,
      next: 0,
    });
    a.send(ethernetFrame(B, A));
    a.send(ethernetFrame(C, A));
    lan.run();
    assert.ok(b.device.needsReset);
    assert.not(a.device.needsReset);
    assert.is(c.receiveAll().length, 1);
    assert.is(lan.counters(b).violations, 1);
    b.start();
    a.send(ethernetFrame(B, A));
    lan.run();
    assert.is(b.receiveAll().length, 1);
  }),
);

test(
  'Engine.detach: a port goes and comes back, the others do not notice',
  withSwitch({}, lan => {
    const [a, b, c] = [lan.add({ mac: A }), lan.add({ mac: B }), lan.add({ mac: C })];
    lan.detach(b);
    a.send(ethernetFrame(B, A));
    a.send(ethernetFrame(C, A));
    b.send(ethernetFrame(A, B), { kick: false });
    lan.run();
    assert.is(c.receiveAll().length, 2, 'B is unknown now');
    lan.attach(b);
    a.send(ethernetFrame(B, A, 80));
    lan.run();
    assert.is(b.receiveAll().length, 1);
    assert.is(a.receiveAll().length, 1, 'sent while nobody listened');
    assert.equal(c.receiveAll(), []);
  }),
);

test(
  'NicPort: notifications are asked for before sleeping, interrupts only raised as wanted',
  withSwitch({}, lan => {
    for (const without of [0n, 1n << 29n]) {
      const [a, b] = [
        lan.add({ mac: A + Number(without), without }),
        lan.add({ mac: B + Number(without), without }),
      ];
      lan.run();
      a.send(ethernetFrame(b.mac, a.mac), { kick: false });
      assert.ok(a.transmitQueue.kick(), 'the sleeping switch wants to be notified');
      b.receiveQueue.wantInterruptAfter(3);
      b.device.takeInterrupt();
      lan.run();
      assert.is(b.device.takeInterrupt(), without !== 0n);
      a.send(ethernetFrame(b.mac, a.mac));
      a.send(ethernetFrame(b.mac, a.mac));
      lan.run();
      assert.ok(b.device.takeInterrupt());
      assert.is(b.receiveAll().length, 3);
    }
  }),
);

test(
  'NetHandler.receive: new receive buffers are only heard of while there are too few',
  withSwitch({}, lan => {
    for (const [i, without] of [0n, 1n << 29n].entries()) {
      const a = lan.add({ mac: A + 16 * i });
      const b = lan.add({ mac: B + 16 * i, without, receiveBuffers: 0 });
      const offer = () => {
        b.offer();
        return b.receiveQueue.kick();
      };
      a.send(ethernetFrame(b.mac, a.mac));
      lan.run();
      assert.ok(offer(), 'one frame waits');
      lan.run();
      assert.is(b.receiveAll({ repost: false }).length, 1);
      assert.not(offer(), 'none waits');
      a.send(ethernetFrame(b.mac, a.mac));
      lan.run();
      assert.is(b.receiveAll({ repost: false }).length, 1);
    }
  }),
);

test(
  'Network: what is longer than the MTU allows is dropped and counted',
  withSwitch({ mtu: 1000 }, lan => {
    const [a, b] = [lan.add({ mac: A }), lan.add({ mac: B })];
    a.send(ethernetFrame(B, A, 1023));
    a.send(ethernetFrame(B, A, 1022));
    lan.run();
    assert.equal(
      b.receiveAll().map(({ frame }) => frame.length),
      [1022],
    );
    assert.is(lan.counters(a).oversize_frames, 1);
  }),
);

test.run();
