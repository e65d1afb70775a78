import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetFeature } from '../../vmm/devices/virtio/net/model.ts';
import { ALL_OFFLOADS, type FakeNic, RECEIVE_OFFLOADS } from './support/fake-nic.ts';
import { FakeSwitch } from './support/fake-switch.ts';
import {
  counting,
  faultsOf,
  type HeaderFields,
  netHeader,
  sum16,
  type TcpOptions,
  tcpFrame,
} from './support/packets.ts';

const A = 0x520000000001;
const B = 0x520000000002;
const NEEDS_CSUM = 1;
const TCPV4 = 1;
const TCPV6 = 4;
const ECN = 0x80;
const MSS = 1448;

const test = suite('offload');

function withPair(without: bigint, body: (a: FakeNic, b: FakeNic, lan: FakeSwitch) => void): () => void {
  return () => {
    const lan = new FakeSwitch();
    try {
      const a = lan.add({ mac: A });
      body(a, lan.add({ mac: B, without, receiveBuffers: 128 }), lan);
    } finally {
      lan.close();
    }
  };
}

const tcp = (options: Partial<TcpOptions> & { payload: Uint8Array }) =>
  tcpFrame({ to: B, from: A, ...options });

test(
  'validateOffloads: large and checksum-less frames go unchanged to a driver that takes them',
  withPair(0n, (a, b, lan) => {
    const { frame, tcp: start, headers } = tcp({ payload: counting(60_000), tcpOptions: 12 });
    const fields = {
      flags: NEEDS_CSUM,
      gsoType: TCPV4,
      gsoSize: MSS,
      checksumStart: start,
      checksumOffset: 16,
    };
    a.send(frame, { header: netHeader({ ...fields, headerLength: 9999 }) });
    a.send(frame.subarray(0, 1000), { header: netHeader({ ...fields, gsoType: 0, gsoSize: 0 }) });
    lan.run();
    const [large, small] = b.receiveAll();
    assert.equal(large?.frame, frame);
    const expected = netHeader({ ...fields, headerLength: headers });
    assert.equal(
      large?.header.subarray(0, 10),
      expected.subarray(0, 10),
      'hdr_len is as it should have been',
    );
    assert.is(large?.buffers, Math.ceil((frame.length + 12) / 2048));
    assert.equal(small?.frame, frame.subarray(0, 1000));
    assert.is(small?.header[0], NEEDS_CSUM);
    assert.is(lan.counters(b).segmented_frames + lan.counters(b).checksummed_frames, 0);
  }),
);

test(
  'completeChecksum: a driver without VIRTIO_NET_F_GUEST_CSUM gets complete checksums',
  withPair(ALL_OFFLOADS, (a, b, lan) => {
    for (const version of [4, 6] as const) {
      for (const length of [0, 1, 2, 3, 199, 200, 201, 1400]) {
        const sent = tcp({ version, payload: counting(length, length), vlanTags: length % 3 });
        a.send(sent.frame, {
          header: netHeader({ flags: NEEDS_CSUM, checksumStart: sent.tcp, checksumOffset: 16 }),
          split: [12, 50, 20],
        });
        lan.run();
        const received = b.receive();
        assert.equal(faultsOf(received?.frame as Uint8Array, sent), [], `${version} ${length}`);
        assert.equal(received?.frame.subarray(sent.headers), sent.frame.subarray(sent.headers));
        assert.equal(received?.header.subarray(0, 10), new Uint8Array(10));
      }
    }
    assert.is(lan.counters(b).checksummed_frames, 16);
  }),
);

test(
  'completeChecksum: a UDP checksum that comes out as 0 is sent as 0xffff (RFC 768)',
  withPair(ALL_OFFLOADS, (a, b, lan) => {
    const { frame } = tcp({ payload: counting(30) });
    const [udp, field] = [34, 34 + 6];
    // What the field holds makes the whole sum 0xffff, whose complement is 0.
    frame.fill(0, field, field + 2);
    const rest = sum16(frame.subarray(udp));
    new DataView(frame.buffer).setUint16(field, 0xffff - rest);
    a.send(frame, { header: netHeader({ flags: NEEDS_CSUM, checksumStart: udp, checksumOffset: 6 }) });
    lan.run();
    assert.equal(b.receive()?.frame.subarray(field, field + 2), Uint8Array.of(0xff, 0xff));
  }),
);

/** Checks that `segments` together say what the one large frame said. */
function checkSegments(sent: ReturnType<typeof tcp>, segments: Uint8Array[], gsoSize: number): void {
  const at = (frame: Uint8Array, offset: number, size: 2 | 4) => {
    const view = new DataView(frame.buffer, frame.byteOffset);
    return size === 2 ? view.getUint16(offset) : view.getUint32(offset);
  };
  const payload = sent.frame.length - sent.headers;
  assert.is(segments.length, Math.ceil(payload / gsoSize));
  for (const [i, segment] of segments.entries()) {
    assert.equal(faultsOf(segment, sent), [], `segment ${i}`);
    const last = i === segments.length - 1;
    assert.is(segment.length, sent.headers + (last ? payload - i * gsoSize : gsoSize));
    assert.is(at(segment, sent.tcp + 4, 4), (at(sent.frame, sent.tcp + 4, 4) + i * gsoSize) >>> 0);
    const flags = sent.frame[sent.tcp + 13] as number;
    const expected = flags & ~(last ? 0 : 0x09) & ~(i === 0 ? 0 : 0x80);
    assert.is(segment[sent.tcp + 13], expected, `flags of segment ${i}`);
    if ((segment[sent.ip] as number) >> 4 === 4)
      assert.is(at(segment, sent.ip + 4, 2), (at(sent.frame, sent.ip + 4, 2) + i) & 0xffff);
  }
  const joined = segments.flatMap(segment => [...segment.subarray(sent.headers)]);
  assert.equal(Uint8Array.from(joined), sent.frame.subarray(sent.headers));
}

const shapes: (Partial<TcpOptions> & { length: number; gsoSize: number })[] = [
  { length: 60_000, gsoSize: MSS },
  { length: 3 * MSS, gsoSize: MSS, tcpOptions: 12, flags: 0x99 },
  { length: 3 * MSS + 1, gsoSize: MSS, ipOptions: 8, flags: 0x18 },
  { length: 100, gsoSize: MSS, flags: 0x11 },
  { length: 5001, gsoSize: 999, vlanTags: 1, identification: 0xfffe },
  { length: 5000, gsoSize: 1001, vlanTags: 2, tcpOptions: 40, ipOptions: 40 },
  { version: 6, length: 40_000, gsoSize: 1428 },
  { version: 6, length: 5000, gsoSize: 1428, vlanTags: 1, tcpOptions: 12, flags: 0x99 },
  { version: 6, length: 5000, gsoSize: 1400, extension: true },
];

for (const [features, without] of [
  ['no offloads', ALL_OFFLOADS],
  ['checksums only', RECEIVE_OFFLOADS & ~NetFeature.GUEST_CSUM],
] as const) {
  test(
    `Segmenter: a driver with ${features} gets segments that are right by themselves`,
    withPair(without, (a, b, lan) => {
      for (const { length, gsoSize, ...shape } of shapes) {
        const sent = tcp({ ...shape, payload: counting(length) });
        const gsoType = shape.version === 6 ? TCPV6 : TCPV4;
        const header = netHeader({
          flags: NEEDS_CSUM,
          gsoType: (shape.flags ?? 0) & 0x80 ? gsoType | ECN : gsoType,
          gsoSize,
          checksumStart: sent.tcp,
          checksumOffset: 16,
        });
        a.send(sent.frame, { header, split: [12, 40, 3, 5000] });
        lan.run();
        checkSegments(
          sent,
          b.receiveAll().map(({ frame }) => frame),
          gsoSize,
        );
      }
      assert.is(lan.counters(b).segmented_frames, shapes.length);
    }),
  );
}

test(
  'Segmenter: segments that find no buffers wait in their place',
  withPair(ALL_OFFLOADS, (a, b, lan) => {
    const sent = tcp({ payload: counting(20 * MSS) });
    const header = netHeader({
      flags: NEEDS_CSUM,
      gsoType: TCPV4,
      gsoSize: MSS,
      checksumStart: sent.tcp,
      checksumOffset: 16,
    });
    const got: Uint8Array[] = [];
    for (let i = 0; i < 10; i++) a.send(sent.frame, { header, kick: i === 9 });
    for (let i = 0; i < 10; i++) {
      lan.run();
      got.push(...b.receiveAll().map(({ frame }) => frame));
    }
    assert.is(got.length, 200);
    for (let i = 0; i < 10; i++) checkSegments(sent, got.slice(i * 20, (i + 1) * 20), MSS);
  }),
);

test(
  'Exchange: a large frame for which the driver never has enough buffers is cut up after a while',
  withPair(0n, (a, _b, lan) => {
    const c = lan.add({ mac: 0x520000000003, receiveBuffers: 8 });
    const sent = tcp({ to: c.mac, payload: counting(20 * MSS) });
    const header = netHeader({
      flags: NEEDS_CSUM,
      gsoType: TCPV4,
      gsoSize: MSS,
      checksumStart: sent.tcp,
      checksumOffset: 16,
    });
    a.send(sent.frame, { header });
    lan.run();
    assert.equal(c.receiveAll(), []);
    lan.advance(101_000);
    const got: Uint8Array[] = [];
    for (let i = 0; i < 5; i++) {
      got.push(...c.receiveAll().map(({ frame }) => frame));
      lan.run();
    }
    checkSegments(sent, got, MSS);
  }),
);

test(
  'validateOffloads: a header that contradicts its frame is counted, and nobody gets the frame',
  withPair(0n, (a, b, lan) => {
    const v4 = tcp({ payload: counting(3000) });
    const v6 = tcp({ version: 6, payload: counting(3000) });
    const good: HeaderFields = {
      flags: NEEDS_CSUM,
      gsoType: TCPV4,
      gsoSize: MSS,
      checksumStart: v4.tcp,
      checksumOffset: 16,
    };
    const patched = (offset: number, ...bytes: number[]) => {
      const copy = v4.frame.slice();
      copy.set(bytes, offset);
      return copy;
    };
    const bad: [string, HeaderFields, Uint8Array][] = [
      ['checksum behind the end', { flags: NEEDS_CSUM, checksumStart: 3050, checksumOffset: 16 }, v4.frame],
      ['checksum far behind', { flags: NEEDS_CSUM, checksumStart: 0xffff, checksumOffset: 0xffff }, v4.frame],
      [
        'checksum in the Ethernet header',
        { flags: NEEDS_CSUM, checksumStart: 13, checksumOffset: 0 },
        v4.frame,
      ],
      ['segmentation without checksum', { ...good, flags: 0 }, v4.frame],
      ['segments of nothing', { ...good, gsoSize: 0 }, v4.frame],
      ['too many segments', { ...good, gsoSize: 1 }, v4.frame],
      ['the wrong IP version', { ...good, gsoType: TCPV6 }, v4.frame],
      ['the other wrong IP version', { ...good, checksumStart: v6.tcp }, v6.frame],
      ['an unknown kind', { ...good, gsoType: 3 }, v4.frame],
      ['UDP segmentation, not offered', { ...good, gsoType: 5 }, v4.frame],
      ['TCP elsewhere', { ...good, checksumStart: v4.tcp + 4 }, v4.frame],
      ['a checksum that is not TCP', { ...good, checksumOffset: 6 }, v4.frame],
      ['not TCP', good, patched(v4.ip + 9, 17)],
      ['a fragment', good, patched(v4.ip + 6, 0x20, 0)],
      ['an IP header too short', good, patched(v4.ip, 0x44)],
      ['an IP header that covers TCP', good, patched(v4.ip, 0x4f)],
      ['a TCP header too short', good, patched(v4.tcp + 12, 0x40)],
      ['nothing but headers', good, v4.frame.subarray(0, v4.headers)],
      ['headers cut off', good, v4.frame.subarray(0, v4.tcp + 10)],
      ['a frame that is too short', {}, v4.frame.subarray(0, 13)],
    ];
    for (const [name, fields, frame] of bad) {
      const before = lan.counters(a).malformed_frames;
      a.send(frame, { header: netHeader(fields) });
      lan.run();
      assert.is(lan.counters(a).malformed_frames, before + 1, name);
      assert.equal(b.receiveAll(), [], name);
    }
    assert.not(a.device.needsReset);
    a.send(v4.frame, { header: netHeader(good) });
    lan.run();
    assert.is(b.receiveAll().length, 1);
  }),
);

test(
  'NetHandler: offloads that were not negotiated are malformed',
  withPair(0n, (_a, b, lan) => {
    const c = lan.add({ mac: 0x520000000003, without: ALL_OFFLOADS });
    const sent = tcp({ from: c.mac, payload: counting(1000) });
    c.send(sent.frame, {
      header: netHeader({ flags: NEEDS_CSUM, checksumStart: sent.tcp, checksumOffset: 16 }),
    });
    lan.run();
    assert.is(lan.counters(c).malformed_frames, 1);
    assert.equal(b.receiveAll(), []);
  }),
);

test.run();
