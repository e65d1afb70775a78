import { macFromBytes, macToBytes } from '../../../net/mac.ts';
import { HEADER_BYTES } from '../../../vmm/devices/virtio/net/header.ts';
import { NetFeature, netModel } from '../../../vmm/devices/virtio/net/model.ts';
import { gpaOffset } from '../../../vmm/memory/address.ts';
import { type DriverQueue, FakeDevice, FakeGuest, type GuestBuffer } from '../../support/virtio-driver.ts';

export interface FakeNicOptions {
  readonly mac: number;
  readonly mtu?: number;
  /** Feature bits that the driver does not take. */
  readonly without?: bigint;
  readonly receiveBuffers?: number;
  readonly bufferBytes?: number;
  readonly guestBytes?: number;
  readonly queueSize?: number;
  readonly name?: string;
}

/** A frame as the driver got it. */
export interface ReceivedFrame {
  readonly header: Uint8Array;
  readonly frame: Uint8Array;
  /** How many buffers it came in, as counted and as the header says. */
  readonly buffers: number;
  readonly announcedBuffers: number;
}

export const ALL_OFFLOADS =
  NetFeature.CSUM |
  NetFeature.GUEST_CSUM |
  NetFeature.GUEST_TSO4 |
  NetFeature.GUEST_TSO6 |
  NetFeature.GUEST_ECN |
  NetFeature.HOST_TSO4 |
  NetFeature.HOST_TSO6 |
  NetFeature.HOST_ECN;
export const RECEIVE_OFFLOADS =
  NetFeature.GUEST_CSUM | NetFeature.GUEST_TSO4 | NetFeature.GUEST_TSO6 | NetFeature.GUEST_ECN;

/** A network driver without a CPU: sends and receives frames through a virtio-net device. */
export class FakeNic {
  readonly guest: FakeGuest;
  readonly device: FakeDevice;
  readonly mac: number;
  private readonly options: Required<Omit<FakeNicOptions, 'name' | 'mac'>>;
  private readonly posted = new Map<number, GuestBuffer>();
  private readonly sendBuffers: GuestBuffer[] = [];
  private readonly sending = new Map<number, GuestBuffer>();

  constructor({ mac, name = `vm${mac}/net0`, ...options }: FakeNicOptions) {
    this.mac = mac;
    this.options = {
      mtu: 1500,
      without: 0n,
      receiveBuffers: 64,
      bufferBytes: 2048,
      guestBytes: 4 * 2 ** 20,
      queueSize: 256,
      ...options,
    };
    this.guest = new FakeGuest(this.options.guestBytes);
    this.device = new FakeDevice(this.guest, netModel({ mac: macToBytes(mac), mtu: this.options.mtu }), name);
    this.start();
  }

  /** Sets the device up, as after a reset, and offers all buffers. */
  start(): void {
    this.posted.clear();
    this.device.initialize({ without: this.options.without, queueSize: this.options.queueSize });
    for (let i = 0; i < this.options.receiveBuffers; i++) this.offer();
    this.receiveQueue.kick();
  }

  get receiveQueue(): DriverQueue {
    return this.device.queues[0] as DriverQueue;
  }
  get transmitQueue(): DriverQueue {
    return this.device.queues[1] as DriverQueue;
  }

  /** Offers one more receive buffer, made of pieces if `pieces` says so. */
  offer(length = this.options.bufferBytes, pieces: readonly number[] = [length]): void {
    const at = this.guest.allocate(length);
    this.post({ at, length }, pieces);
  }

  private post(buffer: GuestBuffer, pieces: readonly number[] = [buffer.length]): void {
    let offset = 0;
    const parts = pieces.map(length => {
      const part = { at: gpaOffset(buffer.at, offset), length };
      offset += length;
      return part;
    });
    this.posted.set(this.receiveQueue.add([], parts), buffer);
  }

  /** Sends a frame with its header; `split` cuts it into descriptors of these lengths (the rest in the last). */
  send(
    frame: Uint8Array,
    {
      header = new Uint8Array(HEADER_BYTES),
      split = [],
      indirect = false,
      kick = true,
    }: { header?: Uint8Array; split?: readonly number[]; indirect?: boolean; kick?: boolean } = {},
  ): void {
    this.reclaim();
    const bytes = new Uint8Array(header.length + frame.length);
    bytes.set(header);
    bytes.set(frame, header.length);
    const buffer = this.takeSendBuffer(bytes.length);
    this.guest.memory.copyIn(buffer.at, bytes);
    const parts: GuestBuffer[] = [];
    let offset = 0;
    for (const length of [...split, bytes.length]) {
      const part = Math.min(length, bytes.length - offset);
      if (part > 0) parts.push({ at: gpaOffset(buffer.at, offset), length: part });
      offset += part;
    }
    this.sending.set(this.transmitQueue.add(parts, [], { indirect }), buffer);
    if (kick) this.transmitQueue.kick();
  }

  /** Takes back what has been sent; answers how many frames. */
  reclaim(): number {
    let count = 0;
    for (let used = this.transmitQueue.takeUsed(); used !== undefined; used = this.transmitQueue.takeUsed()) {
      this.sendBuffers.push(this.sending.get(used.head) as GuestBuffer);
      this.sending.delete(used.head);
      count++;
    }
    return count;
  }

  /** The next frame received, if there is one; its buffers are offered again unless `repost` is false. */
  receive({ repost = true } = {}): ReceivedFrame | undefined {
    const first = this.takeBuffer(repost);
    if (first === undefined) return undefined;
    const announcedBuffers = new DataView(first.buffer).getUint16(10, true);
    const parts = [first];
    for (let i = 1; i < announcedBuffers; i++) {
      const part = this.takeBuffer(repost);
      if (part === undefined) throw new Error(`a frame of ${announcedBuffers} buffers of which ${i} came`);
      parts.push(part);
    }
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return {
      header: bytes.slice(0, HEADER_BYTES),
      frame: bytes.slice(HEADER_BYTES),
      buffers: parts.length,
      announcedBuffers,
    };
  }

  receiveAll(options?: { repost?: boolean }): ReceivedFrame[] {
    const frames: ReceivedFrame[] = [];
    for (let next = this.receive(options); next !== undefined; next = this.receive(options))
      frames.push(next);
    return frames;
  }

  close(): void {
    this.device.close();
    this.guest.free();
  }

  private takeSendBuffer(length: number): GuestBuffer {
    const index = this.sendBuffers.findIndex(buffer => buffer.length >= length);
    if (index !== -1) return this.sendBuffers.splice(index, 1)[0] as GuestBuffer;
    // In few sizes, so that they are used again.
    const size = [256, 2048, 16 * 1024].find(candidate => candidate >= length) ?? 80 * 1024;
    return { at: this.guest.allocate(size), length: size };
  }

  private takeBuffer(repost: boolean): Uint8Array | undefined {
    const used = this.receiveQueue.takeUsed();
    if (used === undefined) return undefined;
    const buffer = this.posted.get(used.head) as GuestBuffer;
    this.posted.delete(used.head);
    const bytes = this.guest.bytes(buffer.at, used.written);
    if (repost) {
      this.post(buffer);
      this.receiveQueue.kick();
    }
    return bytes;
  }
}

/** An Ethernet frame between two addresses with `length` bytes in all, its payload counting up from `seed`. */
export function ethernetFrame(to: number, from: number, length = 60, seed = 0): Uint8Array {
  const frame = new Uint8Array(length);
  for (let i = 14; i < length; i++) frame[i] = (seed + i) & 0xff;
  frame.set(macToBytes(to), 0);
  frame.set(macToBytes(from), 6);
  frame.set([0x88, 0xb5], 12); // local experimental (IEEE 802)
  return frame;
}

export const sourceOf = (frame: Uint8Array): number => macFromBytes(frame.subarray(6, 12));
