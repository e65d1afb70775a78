/**
 * Blocks of the pcapng format (draft-ietf-opsawg-pcapng): sections 4.1 (section header), 4.2 (interface
 * description), 4.3 (enhanced packet) and 4.6 (interface statistics). Little-endian, times in nanoseconds.
 */
const Block = { SECTION: 0x0a0d0d0a, INTERFACE: 1, STATISTICS: 5, PACKET: 6 } as const;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const LINKTYPE_ETHERNET = 1;
const Option = { END: 0, COMMENT: 1 } as const;
const SectionOption = { APPLICATION: 4 } as const;
const InterfaceOption = { NAME: 2, TIME_RESOLUTION: 9 } as const;
const PacketOption = { FLAGS: 2 } as const;
const StatisticsOption = { RECEIVED: 4, DROPPED: 5 } as const;
const NANOSECONDS = 9;
const INBOUND = 1;

/** Block type, length, interface, time (two words), captured and original length. */
export const PACKET_PREFIX_BYTES = 28;
/** Longer comments are cut. */
const MAXIMUM_TEXT_BYTES = 1024;

const pad = (length: number): number => (length + 3) & ~3;
const text = new TextEncoder();

/** Options as the bytes that follow a block's fixed part, up to and with the end mark. */
function options(...list: readonly [number, Uint8Array][]): Uint8Array {
  const size = list.reduce((sum, [, value]) => sum + 4 + pad(value.length), 4);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [code, value] of list) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + pad(value.length);
  }
  view.setUint16(at, Option.END, true);
  return bytes;
}

const textOption = (code: number, value: string): [number, Uint8Array] => [
  code,
  text.encode(value).subarray(0, MAXIMUM_TEXT_BYTES),
];

const u64Option = (code: number, value: number): [number, Uint8Array] => [
  code,
  new Uint8Array(BigUint64Array.of(BigInt(value)).buffer),
];

/** Type, length, body, length again. */
function block(type: number, body: Uint8Array): Uint8Array {
  const length = 12 + body.length;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  bytes.set(body, 8);
  view.setUint32(length - 4, length, true);
  return bytes;
}

function body(words: readonly number[], trailing: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(words.length * 4 + trailing.length);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of words.entries()) view.setUint32(i * 4, word, true);
  bytes.set(trailing, words.length * 4);
  return bytes;
}

export function sectionHeader(): Uint8Array {
  const version = 1; // major 1, minor 0
  const unknownLength = 0xffffffff;
  const words = [BYTE_ORDER_MAGIC, version, unknownLength, unknownLength];
  return block(Block.SECTION, body(words, options(textOption(SectionOption.APPLICATION, 'tsvmm'))));
}

/** `snapLength` 0 means that frames are captured whole. */
export function interfaceDescription(name: string, snapLength: number): Uint8Array {
  const trailing = options(textOption(InterfaceOption.NAME, name), [
    InterfaceOption.TIME_RESOLUTION,
    Uint8Array.of(NANOSECONDS),
  ]);
  return block(Block.INTERFACE, body([LINKTYPE_ETHERNET, snapLength], trailing));
}

/** Block type, length, interface, time, two options of 8 bytes, the end of options, length. */
export const STATISTICS_BYTES = 20 + 2 * 12 + 4 + 4;

export function interfaceStatistics(
  interfaceId: number,
  time_ns: bigint,
  counts: { received: number; dropped: number },
): Uint8Array {
  const trailing = options(
    u64Option(StatisticsOption.RECEIVED, counts.received),
    u64Option(StatisticsOption.DROPPED, counts.dropped),
  );
  const time = [Number(time_ns >> 32n), Number(time_ns & 0xffffffffn)];
  return block(Block.STATISTICS, body([interfaceId, ...time], trailing));
}

/** What a packet block has behind its data: the comment and that the frame came in; without padding and length. */
export const packetOptions = (comment: string): Uint8Array =>
  options(textOption(Option.COMMENT, comment), [PacketOption.FLAGS, Uint8Array.of(INBOUND, 0, 0, 0)]);

export const packetPadding = (captured: number): number => pad(captured) - captured;

export const packetBlockLength = (captured: number, optionBytes: number): number =>
  PACKET_PREFIX_BYTES + pad(captured) + optionBytes + 4;

/** Writes the fixed part of a packet block; data, padding, options and the length once more follow. */
export function writePacketPrefix(
  view: DataView,
  packet: {
    blockLength: number;
    interfaceId: number;
    time_ns: bigint;
    captured: number;
    original: number;
  },
): void {
  view.setUint32(0, Block.PACKET, true);
  view.setUint32(4, packet.blockLength, true);
  view.setUint32(8, packet.interfaceId, true);
  view.setUint32(12, Number(packet.time_ns >> 32n), true);
  view.setUint32(16, Number(packet.time_ns & 0xffffffffn), true);
  view.setUint32(20, packet.captured, true);
  view.setUint32(24, packet.original, true);
}
