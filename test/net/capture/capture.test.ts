import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Capture } from '../../../net/capture/capture.ts';
import { STATISTICS_BYTES } from '../../../net/capture/pcapng.ts';
import { CaptureProducer, MINIMUM_RING_BYTES } from '../../../net/capture/producer.ts';
import { CaptureRing } from '../../../net/capture/ring.ts';
import { Verdict } from '../../../net/markers.ts';
import { testUnless } from '../../support.ts';
import { ethernetFrame } from '../support/fake-nic.ts';
import { FakeSwitch } from '../support/fake-switch.ts';
import { counting, netHeader, tcpFrame } from '../support/packets.ts';

const A = 0x520000000001;
const B = 0x520000000002;
const START_NS = 1_700_000_000_123_456_789n;

const test = suite('capture');
const lacksTshark = spawnSync('tshark', ['--version']).status === 0 ? undefined : 'tshark is not installed';

/** Runs `body` on a switch whose network is captured; answers the stream. */
function captured(body: (lan: FakeSwitch) => void, { snapLength = 0, ringBytes = 1 << 20 } = {}): Uint8Array {
  const lan = new FakeSwitch();
  const ring = new CaptureRing(CaptureRing.allocate(ringBytes));
  let now_ns = START_NS;
  const producer = new CaptureProducer(ring, { snapLength, clock_ns: () => now_ns++ });
  lan.network.capture = producer;
  body(lan);
  producer.finish();
  lan.close();
  return ring.take(ring.length);
}

/** What tshark says of a capture, one line a frame; throws when it complains. */
function tshark(capture: Uint8Array, ...fields: string[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'tsvmm-capture-'));
  try {
    const file = join(folder, 'capture.pcapng');
    writeFileSync(file, capture);
    const result = spawnSync(
      'tshark',
      ['-r', file, '-T', 'fields', ...fields.flatMap(field => ['-e', field])],
      {
        encoding: 'utf8',
      },
    );
    const complaints = result.stderr
      .split('\n')
      .filter(line => line !== '' && !line.startsWith('Running as user'));
    assert.equal(complaints, []);
    assert.is(result.status, 0);
    return result.stdout.split('\n').slice(0, -1);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

testUnless(
  lacksTshark,
  test,
  'CaptureProducer: tshark reads what went through the switch, without complaint',
  () => {
    const payload = counting(500);
    const sent = tcpFrame({ to: B, from: A, payload });
    const stream = captured(lan => {
      const a = lan.add({ mac: A, name: 'server/net0' });
      const b = lan.add({ mac: B, name: 'client/net0' });
      const header = netHeader({ flags: 1, checksumStart: sent.tcp, checksumOffset: 16 });
      a.send(sent.frame, { header, split: [12, 100, 50] });
      b.send(ethernetFrame(0xffffffffffff, B, 61));
      lan.run();
    });
    assert.equal(
      tshark(
        stream,
        'frame.interface_name',
        'frame.time_epoch',
        'frame.len',
        'tcp.len',
        'eth.dst',
        'frame.comment',
      ),
      [
        [
          'server/net0',
          '1700000000.123456789',
          '554',
          '500',
          '52:00:00:00:00:02',
          'epoch=0 from=server/net0 to=client/net0 to_epoch=0 decision=deliver',
        ],
        [
          'client/net0',
          '1700000000.123456790',
          '61',
          '',
          'ff:ff:ff:ff:ff:ff',
          'epoch=0 from=client/net0 to=* decision=deliver',
        ],
      ].map(fields => fields.join('\t')),
    );
  },
);

testUnless(
  lacksTshark,
  test,
  'CaptureProducer: the comment tells epochs and what the marker filter decides',
  () => {
    const stream = captured(lan => {
      lan.engine.exchange.markers = {
        verdict: (marker, epoch) => (marker > epoch ? Verdict.hold : Verdict.deliver),
        record: () => {},
        held: () => {},
      };
      const a = lan.add({ mac: A, name: 'a' });
      lan.add({ mac: B, name: 'b' });
      new Int32Array(lan.table.buffers.epochs)[lan.portOf(a).id] = 3;
      a.send(ethernetFrame(B, A));
      a.send(ethernetFrame(0xffffffffffff, A));
      lan.run();
    });
    assert.equal(tshark(stream, 'frame.comment'), [
      'epoch=3 from=a to=b to_epoch=0 decision=hold',
      'epoch=3 from=a to=* decision=deliver b:hold',
    ]);
  },
);

testUnless(
  lacksTshark,
  test,
  'CaptureProducer: frames of all lengths, whole or cut, are well-formed blocks',
  () => {
    const lengths = Array.from({ length: 80 }, (_, i) => 14 + i * 19);
    for (const snapLength of [0, 33, 400]) {
      const stream = captured(
        lan => {
          const [a] = [lan.add({ mac: A }), lan.add({ mac: B })];
          for (const length of lengths) a.send(ethernetFrame(B, A, length), { split: [12, 300] });
          lan.run();
        },
        { snapLength },
      );
      assert.equal(
        tshark(stream, 'frame.len', 'frame.cap_len'),
        lengths.map(length => `${length}\t${snapLength === 0 ? length : Math.min(snapLength, length)}`),
      );
    }
  },
);

testUnless(lacksTshark, test, 'CaptureProducer: a ring without room drops frames and says how many', () => {
  const count = 400;
  const stream = captured(
    lan => {
      const [a] = [lan.add({ mac: A, name: 'a' }), lan.add({ mac: B })];
      for (let i = 0; i < count; i++) {
        a.send(ethernetFrame(B, A, 1500));
        if (i % 50 === 0) lan.run();
      }
      lan.run();
    },
    { ringBytes: MINIMUM_RING_BYTES },
  );
  const kept = tshark(stream, 'frame.number').length;
  assert.ok(kept > 50 && kept < 100, `${kept} kept`);
  // The statistics block at the end (pcapng section 4.6): frames seen, and those dropped.
  const statistics = new DataView(stream.buffer, stream.length - STATISTICS_BYTES);
  assert.is(statistics.getUint32(0, true), 5);
  assert.is(statistics.getBigUint64(24, true), BigInt(count));
  assert.is(statistics.getBigUint64(36, true), BigInt(count - kept));
});

test('CaptureRing: bytes come out as they went in, round and round', () => {
  const ring = new CaptureRing(CaptureRing.allocate(1024));
  const lan = new FakeSwitch();
  const producer = new CaptureProducer(ring, { snapLength: 0, clock_ns: () => 0n });
  lan.network.capture = producer;
  const [a, b] = [lan.add({ mac: A }), lan.add({ mac: B })];
  ring.take(1024);
  for (let i = 0; i < 500; i++) {
    const frame = ethernetFrame(B, A, 100 + i, i);
    a.send(frame);
    lan.run();
    b.receiveAll();
    const stream = ring.take(1024);
    // Behind the description of the interface, in the first round.
    const start = stream.length - (28 + ((frame.length + 3) & ~3) + optionsLength(stream) + 4);
    assert.equal(stream.subarray(start + 28, start + 28 + frame.length), frame, `${i}`);
  }
  lan.close();
});

/** Of the last block: what its length leaves beside prefix, data and trailer. */
function optionsLength(stream: Uint8Array): number {
  const view = new DataView(stream.buffer);
  const total = view.getUint32(stream.length - 4, true);
  const captured = view.getUint32(stream.length - total + 20, true);
  return total - 28 - ((captured + 3) & ~3) - 4;
}

test('Capture: carries the stream to its sink until it is stopped', async () => {
  const ring = new CaptureRing(CaptureRing.allocate(MINIMUM_RING_BYTES));
  const producer = new CaptureProducer(ring, { snapLength: 0, clock_ns: () => 0n });
  const sink = new PassThrough();
  const capture = new Capture(ring, sink, async () => producer.finish());
  await capture.stop();
  await capture.stop();
  const bytes = sink.read() as Uint8Array;
  assert.is(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true), 0x0a0d0d0a);
  assert.is(ring.length, 0);
});

test('Capture: a sink that fails ends it with an error, and the producer is stopped', async () => {
  const ring = new CaptureRing(CaptureRing.allocate(MINIMUM_RING_BYTES));
  const producer = new CaptureProducer(ring, { snapLength: 0, clock_ns: () => 0n });
  let stopped = 0;
  const sink = new Writable({ write: (_chunk, _encoding, done) => done(new Error('disk full')) });
  const capture = new Capture(ring, sink, async () => {
    stopped++;
    producer.finish();
  });
  await capture.ended.then(
    () => assert.unreachable(),
    error => {
      assert.is(error.code, 'TSVMM_E_NET');
      assert.is(error.cause.message, 'disk full');
    },
  );
  assert.is(stopped, 1);
});

test.run();
