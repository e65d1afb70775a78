import type { Frame } from '../../vmm/devices/virtio/net/frame.ts';
import { HEADER_BYTES, Offload } from '../../vmm/devices/virtio/net/header.ts';

/** Offset of the checksum in a UDP header, by which one is told from TCP. */
const UDP_CHECKSUM_OFFSET = 6;

/**
 * Adds the 16-bit words of `length` bytes to `sum` (RFC 1071). 32 bits at a time: a 64 KiB frame stays far below
 * 2^53, and fold() brings the carries back.
 */
export function addBytes(sum: number, view: DataView, start: number, length: number): number {
  const words = start + (length & ~3);
  let total = sum;
  for (let at = start; at < words; at += 4) total += view.getUint32(at);
  let at = words;
  if ((length & 2) !== 0) {
    total += view.getUint16(at);
    at += 2;
  }
  return (length & 1) !== 0 ? total + view.getUint8(at) * 256 : total;
}

/** The 16-bit one's complement sum. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}

/** What goes into a checksum field. */
export const complement = (sum: number): number => ~fold(sum) & 0xffff;

/**
 * Does what VIRTIO_NET_HDR_F_NEEDS_CSUM asks for: the sender put the sum of the pseudo header into the field. The
 * frame's header must have been validated.
 */
export function completeChecksum(frame: Frame): void {
  frame.makePrivate();
  const start = frame.checksumStart;
  const field = start + frame.checksumOffset;
  const checksum = complement(addBytes(0, frame.view, HEADER_BYTES + start, frame.length - start));
  // RFC 768: 0 would mean that there is no checksum. For TCP both are the same number.
  frame.setU16(field, checksum === 0 && frame.checksumOffset === UDP_CHECKSUM_OFFSET ? 0xffff : checksum);
  frame.clearHeader();
  frame.offloads &= ~Offload.CHECKSUM;
}
