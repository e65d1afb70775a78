import { macToBytes } from '../../../net/mac.ts';

/** Packets made and checked by the book (RFC 791, 8200, 9293, 1071), independently of the code under test. */
export interface TcpOptions {
  readonly version?: 4 | 6;
  readonly to: number;
  readonly from: number;
  readonly payload: Uint8Array;
  readonly tcpOptions?: number;
  readonly ipOptions?: number;
  readonly vlanTags?: number;
  readonly flags?: number;
  readonly sequence?: number;
  readonly identification?: number;
  /** IPv6 destination options header of 8 bytes. */
  readonly extension?: boolean;
}

export interface TcpFrame {
  readonly frame: Uint8Array;
  readonly ip: number;
  readonly tcp: number;
  readonly headers: number;
}

const ADDRESS_4 = { from: [10, 0, 0, 1], to: [10, 0, 0, 2] };
const ADDRESS_6 = {
  from: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  to: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd, 0, 2],
};

/** One's complement sum, a byte pair at a time. */
export function sum16(bytes: ArrayLike<number>, sum = 0): number {
  let total = sum;
  for (let i = 0; i < bytes.length; i++) {
    total += i % 2 === 0 ? (bytes[i] as number) << 8 : (bytes[i] as number);
    total = (total & 0xffff) + (total >> 16);
  }
  return total;
}

/** A TCP frame whose checksum field holds the sum of the pseudo header, as a sender with offload leaves it. */
export function tcpFrame(options: TcpOptions): TcpFrame {
  const { version = 4, payload, tcpOptions = 0, ipOptions = 0, vlanTags = 0, extension = false } = options;
  const ip = 14 + 4 * vlanTags;
  const tcp = ip + (version === 4 ? 20 + ipOptions : 40 + (extension ? 8 : 0));
  const headers = tcp + 20 + tcpOptions;
  const frame = new Uint8Array(headers + payload.length);
  const view = new DataView(frame.buffer);
  frame.set(macToBytes(options.to), 0);
  frame.set(macToBytes(options.from), 6);
  for (let tag = 0; tag < vlanTags; tag++) view.setUint32(12 + 4 * tag, 0x81000000 + 100 + tag);
  view.setUint16(ip - 2, version === 4 ? 0x0800 : 0x86dd);
  if (version === 4) {
    frame[ip] = 0x40 | ((20 + ipOptions) / 4);
    view.setUint16(ip + 2, frame.length - ip);
    view.setUint16(ip + 4, options.identification ?? 7);
    frame[ip + 8] = 64;
    frame[ip + 9] = 6;
    frame.set([...ADDRESS_4.from, ...ADDRESS_4.to], ip + 12);
    frame.fill(1, ip + 20, tcp);
    view.setUint16(ip + 10, ~sum16(frame.subarray(ip, tcp)) & 0xffff);
  } else {
    frame[ip] = 0x60;
    view.setUint16(ip + 4, frame.length - ip - 40);
    frame[ip + 6] = extension ? 60 : 6;
    frame[ip + 7] = 64;
    frame.set([...ADDRESS_6.from, ...ADDRESS_6.to], ip + 8);
    if (extension) frame.set([6, 0, 1, 4], ip + 40);
  }
  view.setUint16(tcp, 1000);
  view.setUint16(tcp + 2, 2000);
  view.setUint32(tcp + 4, options.sequence ?? 0xfffff000);
  view.setUint32(tcp + 8, 12345);
  frame[tcp + 12] = ((20 + tcpOptions) / 4) << 4;
  frame[tcp + 13] = options.flags ?? 0x10;
  view.setUint16(tcp + 14, 4096);
  frame.fill(1, tcp + 20, headers);
  frame.set(payload, headers);
  view.setUint16(tcp + 16, pseudoHeaderSum(frame, ip, frame.length - tcp));
  return { frame, ip, tcp, headers };
}

function pseudoHeaderSum(frame: Uint8Array, ip: number, length: number): number {
  const isIpv4 = (frame[ip] as number) >> 4 === 4;
  const addresses = isIpv4 ? frame.subarray(ip + 12, ip + 20) : frame.subarray(ip + 8, ip + 40);
  return sum16([0, 6, length >> 8, length & 0xff], sum16(addresses));
}

/** Says what is wrong with a TCP packet's lengths and checksums; empty if nothing. */
export function faultsOf(frame: Uint8Array, { ip, tcp }: Pick<TcpFrame, 'ip' | 'tcp'>): string[] {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const faults: string[] = [];
  if ((frame[ip] as number) >> 4 === 4) {
    if (sum16(frame.subarray(ip, ip + ((frame[ip] as number) & 15) * 4)) !== 0xffff)
      faults.push('IP checksum');
    if (view.getUint16(ip + 2) !== frame.length - ip) faults.push('IP length');
  } else if (view.getUint16(ip + 4) !== frame.length - ip - 40) {
    faults.push('IPv6 length');
  }
  const sum = sum16(frame.subarray(tcp), pseudoHeaderSum(frame, ip, frame.length - tcp));
  if (sum !== 0xffff) faults.push('TCP checksum');
  return faults;
}

export interface HeaderFields {
  flags?: number;
  gsoType?: number;
  headerLength?: number;
  gsoSize?: number;
  checksumStart?: number;
  checksumOffset?: number;
}

/** A virtio_net_hdr_v1 as a sender writes it. */
export function netHeader(fields: HeaderFields): Uint8Array {
  const header = new Uint8Array(12);
  const view = new DataView(header.buffer);
  view.setUint8(0, fields.flags ?? 0);
  view.setUint8(1, fields.gsoType ?? 0);
  view.setUint16(2, fields.headerLength ?? 0, true);
  view.setUint16(4, fields.gsoSize ?? 0, true);
  view.setUint16(6, fields.checksumStart ?? 0, true);
  view.setUint16(8, fields.checksumOffset ?? 0, true);
  return header;
}

export const counting = (length: number, seed = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (seed + i * 7 + (i >> 8)) & 0xff);
