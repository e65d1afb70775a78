import { Frame } from '../../vmm/devices/virtio/net/frame.ts';
import { HEADER_BYTES, Offload } from '../../vmm/devices/virtio/net/header.ts';
import { ipOffset } from '../../vmm/devices/virtio/net/validate.ts';
import { memcpy } from '../../vmm/ffi/libc.ts';
import { addBytes, complement } from './checksum.ts';

const PROTOCOL_TCP = 6;
const TcpFlag = { FIN: 1, PSH: 8, CWR: 0x80 } as const;

/**
 * Cuts a TCP frame of up to 64 KiB into segments as its sender would have (TSO), with all checksums. The payload is
 * not copied: segments point into the frame.
 */
export class Segmenter {
  /** Reused for each segment. */
  private readonly segment = new Frame();
  private frame: Frame = this.segment;
  private ip = 0;
  private tcp = 0;
  private index = 0;

  free(): void {
    this.segment.free();
  }

  /** `frame` must have passed validateOffloads as one to be segmented. It must stay as it is until the last next(). */
  start(frame: Frame): void {
    frame.makePrivate();
    this.frame = frame;
    this.ip = ipOffset(frame);
    this.tcp = frame.checksumStart;
    this.index = 0;
  }

  /** The next segment, good until the next call; undefined after the last. */
  next(): Frame | undefined {
    const { frame, segment, index } = this;
    if (index === frame.segmentCount) return undefined;
    const headers = frame.protocolHeaderLength;
    const from = headers + index * frame.gsoSize;
    const payload = Math.min(frame.gsoSize, frame.length - from);
    segment.reset(headers + payload);
    segment.clearHeader();
    segment.epoch = frame.epoch;
    segment.sender = frame.sender;
    memcpy(segment.payloadAddress, frame.payloadAddress, headers);
    segment.privateLength = headers;
    segment.rest.append(frame.payloadAddress + from, payload);
    this.index++;
    if ((frame.offloads & Offload.TSO4) !== 0) this.finishIpv4();
    else segment.setU16(this.ip + 4, segment.length - this.ip - 40);
    this.finishTcp(from, payload);
    return segment;
  }

  /** RFC 791: total length, identification, header checksum. */
  private finishIpv4(): void {
    const { segment, ip } = this;
    segment.setU16(ip + 2, segment.length - ip);
    segment.setU16(ip + 4, (segment.u16(ip + 4) + this.index - 1) & 0xffff);
    segment.setU16(ip + 10, 0);
    const headerLength = (segment.u8(ip) & 15) * 4;
    segment.setU16(ip + 10, complement(addBytes(0, segment.view, HEADER_BYTES + ip, headerLength)));
  }

  /** RFC 9293: sequence number, flags that belong to one end only, checksum. RFC 3168: CWR is for the first. */
  private finishTcp(from: number, payload: number): void {
    const { frame, segment, tcp } = this;
    const isFirst = this.index === 1;
    const isLast = this.index === frame.segmentCount;
    const flags =
      segment.u8(tcp + 13) & ~(isLast ? 0 : TcpFlag.FIN | TcpFlag.PSH) & ~(isFirst ? 0 : TcpFlag.CWR);
    segment.setU8(tcp + 13, flags);
    segment.setU32(tcp + 4, (frame.u32(tcp + 4) + (from - frame.protocolHeaderLength)) >>> 0);
    segment.setU16(tcp + 16, 0);
    let sum = this.pseudoHeader(segment.length - tcp);
    sum = addBytes(sum, segment.view, HEADER_BYTES + tcp, frame.protocolHeaderLength - tcp);
    sum = addBytes(sum, frame.view, HEADER_BYTES + from, payload);
    segment.setU16(tcp + 16, complement(sum));
  }

  /** Both addresses, the protocol and the length of header and payload (RFC 9293 section 3.1). */
  private pseudoHeader(length: number): number {
    const { frame, ip } = this;
    const isIpv4 = (frame.offloads & Offload.TSO4) !== 0;
    const addresses = isIpv4
      ? addBytes(0, frame.view, HEADER_BYTES + ip + 12, 8)
      : addBytes(0, frame.view, HEADER_BYTES + ip + 8, 32);
    return addresses + PROTOCOL_TCP + length;
  }
}
