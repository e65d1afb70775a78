import { type Frame, HEAD_BYTES, MINIMUM_FRAME_BYTES } from './frame.ts';
import { GsoType, HeaderFlag, Offload } from './header.ts';

const EtherType = { IPV4: 0x0800, IPV6: 0x86dd, VLAN: 0x8100, SERVICE_VLAN: 0x88a8 } as const;
const PROTOCOL_TCP = 6;
/** IPv6 extension headers that leave the addresses as they are (RFC 8200 section 4): hop-by-hop, destination. */
const HOP_BY_HOP = 0;
const DESTINATION_OPTIONS = 60;
const TCP_CHECKSUM_OFFSET = 16;
const TCP_HEADER_MINIMUM = 20;
const IPV6_HEADER = 40;

/**
 * A 64 KiB frame in segments of 88 bytes of payload, which is less than any real path has. More would let one
 * frame of a hostile sender keep the switch busy for milliseconds.
 */
const MAXIMUM_SEGMENTS = 768;

/**
 * Checks the offload fields of a frame's header against the frame, whose head must be private, and notes what they
 * ask for (virtio 1.2 section 5.1.6.2). Fields that a receiver is not to trust are set to what they must be. False
 * when they contradict the frame: nobody may act on them then.
 */
export function validateOffloads(frame: Frame): boolean {
  const needsChecksum = (frame.flags & HeaderFlag.NEEDS_CSUM) !== 0;
  frame.flags = needsChecksum ? HeaderFlag.NEEDS_CSUM : 0;
  if (needsChecksum && !checksumFits(frame)) return false;
  if (frame.gsoType !== GsoType.NONE) return needsChecksum && validateSegmentation(frame);
  frame.gsoSize = 0;
  frame.headerLengthHint = 0;
  frame.offloads = needsChecksum ? Offload.CHECKSUM : 0;
  return true;
}

function checksumFits(frame: Frame): boolean {
  const start = frame.checksumStart;
  return start >= MINIMUM_FRAME_BYTES && start + frame.checksumOffset + 2 <= frame.length;
}

function validateSegmentation(frame: Frame): boolean {
  const { gsoType, gsoSize, checksumStart } = frame;
  const tcp = tcpOffset(frame);
  if (tcp === -1 || tcp !== checksumStart || frame.checksumOffset !== TCP_CHECKSUM_OFFSET) return false;
  if (tcp + TCP_HEADER_MINIMUM > Math.min(frame.length, HEAD_BYTES)) return false;
  const tcpHeaderLength = (frame.u8(tcp + 12) >> 4) * 4;
  const headers = tcp + tcpHeaderLength;
  if (tcpHeaderLength < TCP_HEADER_MINIMUM || headers > HEAD_BYTES || headers >= frame.length) return false;
  const segments = gsoSize === 0 ? Number.POSITIVE_INFINITY : Math.ceil((frame.length - headers) / gsoSize);
  if (segments > MAXIMUM_SEGMENTS) return false;

  frame.protocolHeaderLength = headers;
  frame.headerLengthHint = headers;
  frame.segmentCount = segments;
  frame.offloads =
    Offload.CHECKSUM |
    ((gsoType & ~GsoType.ECN) === GsoType.TCPV4 ? Offload.TSO4 : Offload.TSO6) |
    ((gsoType & GsoType.ECN) !== 0 ? Offload.ECN : 0);
  return true;
}

/** Where the TCP header is, by the IP header of the kind that gso_type names; -1 if there is none. */
function tcpOffset(frame: Frame): number {
  const ip = ipOffset(frame);
  const kind = frame.gsoType & ~GsoType.ECN;
  const type = frame.u16(ip - 2);
  if (kind === GsoType.TCPV4 && type === EtherType.IPV4) return ipv4PayloadOffset(frame, ip);
  if (kind === GsoType.TCPV6 && type === EtherType.IPV6) return ipv6PayloadOffset(frame, ip);
  return -1;
}

/** Where the network header begins: behind the Ethernet header and up to two VLAN tags (IEEE 802.1Q). */
export function ipOffset(frame: Frame): number {
  let at = MINIMUM_FRAME_BYTES;
  for (let tags = 0; tags < 2; tags++) {
    const type = frame.u16(at - 2);
    if (type !== EtherType.VLAN && type !== EtherType.SERVICE_VLAN) break;
    at += 4;
  }
  return at;
}

/** RFC 791: version, header length, no fragment, TCP. */
function ipv4PayloadOffset(frame: Frame, ip: number): number {
  if (ip + 20 > frame.length) return -1;
  const headerLength = (frame.u8(ip) & 15) * 4;
  const fragment = frame.u16(ip + 6) & 0x3fff;
  if (frame.u8(ip) >> 4 !== 4 || headerLength < 20 || fragment !== 0) return -1;
  return frame.u8(ip + 9) === PROTOCOL_TCP ? ip + headerLength : -1;
}

/** RFC 8200: TCP at once or behind extension headers. */
function ipv6PayloadOffset(frame: Frame, ip: number): number {
  if (ip + IPV6_HEADER > frame.length || frame.u8(ip) >> 4 !== 6) return -1;
  const end = Math.min(frame.length, HEAD_BYTES);
  let next = frame.u8(ip + 6);
  let at = ip + IPV6_HEADER;
  while (next === HOP_BY_HOP || next === DESTINATION_OPTIONS) {
    if (at + 8 > end) return -1;
    next = frame.u8(at);
    at += 8 + frame.u8(at + 1) * 8;
  }
  return next === PROTOCOL_TCP ? at : -1;
}
