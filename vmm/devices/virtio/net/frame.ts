import { memcpy } from '../../../ffi/libc.ts';
import type { Hva } from '../../../memory/address.ts';
import { hvaOffset } from '../../../memory/address.ts';
import { allocateHostBuffer } from '../../../memory/host-buffer.ts';
import { HEADER_BYTES, virtioNetHeader } from './header.ts';
import { copyScattered, ScatterList } from './scatter-list.ts';

/** The largest IP packet, an Ethernet header and two VLAN tags. */
export const MAXIMUM_FRAME_BYTES = 65535 + 14 + 2 * 4;
export const MINIMUM_FRAME_BYTES = 14;

/** As many bytes of a frame are copied before anything is decided on them: all protocol headers fit. */
export const HEAD_BYTES = 256 - HEADER_BYTES;

/** More pieces than any chain has: a queue has at most 256 descriptors, an indirect table no more. */
const MAXIMUM_PIECES = 512;

const { offsets } = virtioNetHeader;

/**
 * One Ethernet frame on its way, with its virtio_net_hdr: the first `privateLength` bytes are in memory of ours, what
 * follows still lies in `rest`, which is the sender's memory and only good until its descriptor is given back. So what
 * was validated is what is delivered, and the bulk of the frame is copied once.
 *
 * Reused for every frame. Fields of the header are accessors, as they are read where they lie.
 */
export class Frame {
  /** Length of the Ethernet frame, without the header. */
  length = 0;
  privateLength = 0;
  readonly rest = new ScatterList(MAXIMUM_PIECES);
  /** Offload bits that a receiver must have to take the frame as it is; set by validateOffloads. */
  offloads = 0;
  /** Length of all protocol headers of a frame to be segmented; set by validateOffloads. */
  protocolHeaderLength = 0;
  /** How many segments it takes; 1 when it is not to be segmented. */
  segmentCount = 1;
  /** The marker: the sender's epoch when the frame was taken from it. Who that is, by the switch's number. */
  epoch = 0;
  sender = -1;
  /** From the start of the header; the frame follows at HEADER_BYTES. */
  readonly view: DataView;
  private readonly buffer = allocateHostBuffer(HEADER_BYTES + MAXIMUM_FRAME_BYTES);

  constructor() {
    this.view = this.buffer.view;
  }

  /** Where the header is, and behind it the private part. */
  get address(): Hva {
    return this.buffer.address;
  }

  /** Where the frame itself begins. */
  get payloadAddress(): Hva {
    return hvaOffset(this.buffer.address, HEADER_BYTES);
  }

  get flags(): number {
    return this.view.getUint8(offsets.flags);
  }
  set flags(bits: number) {
    this.view.setUint8(offsets.flags, bits);
  }
  get gsoType(): number {
    return this.view.getUint8(offsets.gso_type);
  }
  set gsoType(type: number) {
    this.view.setUint8(offsets.gso_type, type);
  }
  set headerLengthHint(length: number) {
    this.view.setUint16(offsets.hdr_len, length, true);
  }
  get gsoSize(): number {
    return this.view.getUint16(offsets.gso_size, true);
  }
  set gsoSize(bytes: number) {
    this.view.setUint16(offsets.gso_size, bytes, true);
  }
  get checksumStart(): number {
    return this.view.getUint16(offsets.csum_start, true);
  }
  get checksumOffset(): number {
    return this.view.getUint16(offsets.csum_offset, true);
  }
  set bufferCount(count: number) {
    this.view.setUint16(offsets.num_buffers, count, true);
  }

  /** MAC addresses, as numbers: the first byte on the wire is the highest. */
  get destination(): number {
    return this.u16(0) * 2 ** 32 + this.u32(2);
  }
  get source(): number {
    return this.u16(6) * 2 ** 32 + this.u32(8);
  }

  /** Header and private part, to be filled by read(2); reset() sets the length after that. */
  get bytes(): Uint8Array {
    return this.buffer.bytes;
  }

  /** Starts a new frame of `length` bytes, of which none is there yet. */
  reset(length: number): void {
    this.length = length;
    this.privateLength = 0;
    this.offloads = 0;
    this.protocolHeaderLength = 0;
    this.segmentCount = 1;
    this.rest.reset();
  }

  clearHeader(): void {
    for (let at = 0; at < HEADER_BYTES; at += 4) this.view.setUint32(at, 0, true);
  }

  /** A byte, or a word in network order, of the private part. */
  u8(at: number): number {
    return this.view.getUint8(HEADER_BYTES + at);
  }
  u16(at: number): number {
    return this.view.getUint16(HEADER_BYTES + at);
  }
  u32(at: number): number {
    return this.view.getUint32(HEADER_BYTES + at);
  }
  setU8(at: number, value: number): void {
    this.view.setUint8(HEADER_BYTES + at, value);
  }
  setU16(at: number, value: number): void {
    this.view.setUint16(HEADER_BYTES + at, value);
  }
  setU32(at: number, value: number): void {
    this.view.setUint32(HEADER_BYTES + at, value);
  }

  /** Fetches what still lies elsewhere. */
  makePrivate(): void {
    const { rest } = this;
    let at = HEADER_BYTES + this.privateLength;
    for (let i = 0; i < rest.count; i++) {
      memcpy(hvaOffset(this.buffer.address, at), rest.address(i), rest.length(i));
      at += rest.length(i);
    }
    this.privateLength = this.length;
    rest.reset();
  }

  /** Copies header and frame into `to`, which has room for both. */
  copyTo(to: ScatterList): void {
    copyScattered(this.buffer.address, HEADER_BYTES + this.privateLength, this.rest, to);
  }

  /** Copies the frame without the header. */
  copyFrameTo(to: ScatterList): void {
    copyScattered(this.payloadAddress, this.privateLength, this.rest, to);
  }

  free(): void {
    this.buffer.free();
  }
}
