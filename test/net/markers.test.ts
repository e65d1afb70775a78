import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Markers, Verdict } from '../../net/markers.ts';
import type { Frame } from '../../vmm/devices/virtio/net/frame.ts';
import { ethernetFrame, type FakeNic } from './support/fake-nic.ts';
import { FakeSwitch } from './support/fake-switch.ts';

const A = 0x520000000001;
const B = 0x520000000002;
const test = suite('markers');

/** The rule of the protocol in its simplest form; it notes what it is told. */
class TestMarkers implements Markers {
  readonly events: string[] = [];
  onNewer: Verdict;

  constructor(onNewer: Verdict) {
    this.onNewer = onNewer;
  }

  verdict(marker: number, epoch: number): Verdict {
    if (marker === epoch) return Verdict.deliver;
    return marker > epoch ? this.onNewer : Verdict.record;
  }
  record(frame: Frame, sender: string, receiver: string): void {
    this.events.push(`record ${frame.length} ${sender} ${receiver}`);
  }
  held(receiver: string, full: boolean): void {
    this.events.push(`held ${receiver} ${full}`);
  }
}

function withMarkers(
  onNewer: Verdict,
  body: (parts: { lan: FakeSwitch; a: FakeNic; b: FakeNic; markers: TestMarkers }) => void,
): () => void {
  return () => {
    const lan = new FakeSwitch();
    const markers = new TestMarkers(onNewer);
    lan.engine.exchange.markers = markers;
    try {
      body({ lan, a: lan.add({ mac: A, name: 'a' }), b: lan.add({ mac: B, name: 'b' }), markers });
    } finally {
      lan.close();
    }
  };
}

/** A VM's cut, as a snapshot makes it. */
const cut = (lan: FakeSwitch, nic: FakeNic, epoch: number) => {
  nic.device.state.lock.acquire();
  new Int32Array(lan.table.buffers.epochs)[lan.portOf(nic).id] = epoch;
  nic.device.state.lock.release();
};
const seeds = (nic: FakeNic) => nic.receiveAll().map(({ frame }) => (frame[14] as number) - 14);

test(
  'Exchange: a post-to-pre frame is held until the receiver has cut, then delivered, in order',
  withMarkers(Verdict.hold, ({ lan, a, b, markers }) => {
    a.send(ethernetFrame(B, A, 60, 1));
    lan.run();
    cut(lan, a, 1);
    a.send(ethernetFrame(B, A, 60, 2));
    a.send(ethernetFrame(B, A, 60, 3));
    lan.run();
    assert.equal(seeds(b), [1]);
    assert.equal(markers.events, ['held b false', 'held b false']);
    lan.advance(1000);
    assert.equal(seeds(b), []);
    cut(lan, b, 1);
    a.send(ethernetFrame(B, A, 60, 4));
    lan.advance(200);
    assert.equal(seeds(b), [2, 3, 4]);
    assert.is(lan.counters(b).held_frames, 2);
  }),
);

test(
  'Exchange: what is held is released without another frame or notification',
  withMarkers(Verdict.hold, ({ lan, a, b }) => {
    cut(lan, a, 1);
    a.send(ethernetFrame(B, A, 60, 1));
    lan.run();
    cut(lan, b, 1);
    lan.advance(200);
    assert.equal(seeds(b), [1]);
  }),
);

test(
  'Exchange: frames of others pass those that are held',
  withMarkers(Verdict.hold, ({ lan, a, b }) => {
    const c = lan.add({ mac: 0x520000000003 });
    cut(lan, a, 1);
    a.send(ethernetFrame(B, A, 60, 1));
    c.send(ethernetFrame(B, c.mac, 60, 2));
    lan.run();
    assert.equal(seeds(b), [2]);
    cut(lan, b, 1);
    lan.advance(200);
    assert.equal(seeds(b), [1]);
  }),
);

test(
  'Exchange: a pre-to-post frame is delivered and recorded once, also when it waited for buffers',
  withMarkers(Verdict.hold, ({ lan, a, b, markers }) => {
    cut(lan, b, 1);
    a.send(ethernetFrame(B, A, 60, 1));
    lan.run();
    assert.equal(seeds(b), [1]);
    assert.equal(markers.events, ['record 60 a b']);

    const c = lan.add({ mac: 0x520000000003, name: 'c', receiveBuffers: 0 });
    a.send(ethernetFrame(c.mac, A, 100, 2));
    lan.run();
    cut(lan, c, 1);
    lan.run();
    assert.is(markers.events.length, 1, 'not recorded while it waits');
    c.offer();
    c.receiveQueue.kick();
    lan.run();
    assert.equal(seeds(c), [2]);
    assert.equal(markers.events.slice(1), ['record 100 a c']);
    assert.is(lan.counters(c).recorded_frames, 1);
  }),
);

test(
  'Exchange: the verdict on a frame that found the lock held is made when the lock is free',
  withMarkers(Verdict.hold, ({ lan, a, b, markers }) => {
    b.device.state.lock.acquire();
    a.send(ethernetFrame(B, A, 60, 1));
    lan.run();
    new Int32Array(lan.table.buffers.epochs)[lan.portOf(b).id] = 1;
    b.device.state.lock.release();
    lan.advance(200);
    assert.equal(seeds(b), [1]);
    assert.equal(markers.events, ['record 60 a b']);
  }),
);

test(
  'Exchange: in drop mode a post-to-pre frame is gone and counted',
  withMarkers(Verdict.drop, ({ lan, a, b }) => {
    cut(lan, a, 1);
    a.send(ethernetFrame(B, A, 60, 1));
    lan.run();
    cut(lan, b, 1);
    lan.advance(1000);
    assert.equal(seeds(b), []);
    assert.is(lan.counters(b).marker_dropped_frames, 1);
  }),
);

test(
  'Exchange: when no more frames can be held the sender waits, and none is lost',
  withMarkers(Verdict.hold, ({ lan, a, b, markers }) => {
    cut(lan, a, 1);
    let sent = 0;
    while (a.transmitQueue.freeCount > 0 && sent < 5000) {
      a.send(ethernetFrame(B, A, 60, sent++));
      if (sent % 64 === 0) lan.advance(10);
    }
    lan.advance(500);
    assert.ok(sent > 2048 && sent < 5000, `${sent} sent`);
    assert.ok(markers.events.includes('held b true'));
    cut(lan, b, 1);
    const received: number[] = [];
    for (let i = 0; i < 100; i++) {
      lan.advance(200);
      received.push(...seeds(b));
    }
    assert.is(received.length, sent);
    assert.ok(received.every((seed, i) => ((seed - i) & 0xff) === 0));
    assert.is(lan.counters(b).overflow_frames, 0);
  }),
);

test(
  'Engine.visitWaiting: shows every frame that waits, with its sender and receiver',
  withMarkers(Verdict.hold, ({ lan, a, b }) => {
    const c = lan.add({ mac: 0x520000000003, name: 'c', receiveBuffers: 0, impairment: { delay_us: 1e6 } });
    a.send(ethernetFrame(c.mac, A, 101, 1));
    c.send(ethernetFrame(B, c.mac, 102, 2));
    c.send(ethernetFrame(0xffffffffffff, c.mac, 103, 3));
    lan.run();
    cut(lan, a, 1);
    a.send(ethernetFrame(B, A, 104, 4));
    lan.run();
    const seen: string[] = [];
    lan.engine.visitWaiting((frame, sender, receiver) => {
      seen.push(`${frame.length} ${sender} ${receiver} ${frame.epoch}`);
    });
    assert.equal(seen.sort(), ['101 a c 0', '102 c b 0', '103 c a 0', '103 c b 0', '104 a b 1']);
    assert.equal(seeds(b), []);
  }),
);

test.run();
