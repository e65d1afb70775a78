import { TsvmmError } from '../../../errors.ts';
import { memcpy } from '../../../ffi/libc.ts';
import { hvaOffset } from '../../../memory/address.ts';
import { DescriptorChain } from '../chain.ts';
import type { VirtQueue } from '../queue.ts';
import type { ServedDevice } from '../served-device.ts';
import { serveControl } from './control.ts';
import { ReceiveFilter } from './filter.ts';
import { type Frame, HEAD_BYTES, MAXIMUM_FRAME_BYTES, MINIMUM_FRAME_BYTES } from './frame.ts';
import { HEADER_BYTES, Offload } from './header.ts';
import { NetFeature, NetQueue, QUEUE_SIZE } from './model.ts';
import { ScatterList } from './scatter-list.ts';
import { validateOffloads } from './validate.ts';

export type Taken = 'frame' | 'malformed' | 'empty';
/**
 * 'waiting': there are no buffers, 'short': there are too few for this frame; in both cases the driver will tell when
 * it offers more. 'refused': it never fits, or nobody wants it.
 */
export type Received = 'delivered' | 'waiting' | 'short' | 'refused';

/** More pieces than one frame's buffers have, unless a driver makes them absurdly small. */
const MAXIMUM_PIECES = 1024;

/**
 * The virtqueues of one network device (virtio 1.2 section 5.1.6): frames out of the transmit queue, frames into the
 * receive queue, commands of the control queue. Where frames come from and go to is none of its business.
 *
 * All methods are to be called between enter() and leave() of the device and within its guarded(), as they throw
 * TSVMM_E_GUEST_MEMORY when the driver breaks the rules.
 */
export class NetHandler {
  /** Offload bits of frames that the driver takes, and of those that it may send. */
  accepts = 0;
  sends = 0;
  readonly filter: ReceiveFilter;
  private readonly device: ServedDevice;
  private activation = -1;
  private mergeable = false;
  private filtered = false;
  private readonly taken = new DescriptorChain(QUEUE_SIZE);
  private readonly offered = new DescriptorChain(QUEUE_SIZE);
  /** Receive buffers reserved for one frame: their heads, how much of each is used, and where they are. */
  private reservedCount = 0;
  private readonly reservedHeads = new Uint16Array(QUEUE_SIZE);
  private readonly reservedBytes = new Float64Array(QUEUE_SIZE);
  private readonly target = new ScatterList(MAXIMUM_PIECES);
  /** Whether there is something to publish; an untouched ring is left alone, as writing costs a snapshot a page. */
  private transmitted = false;
  private received = false;
  /** The driver has been asked to notify us of receive buffers. */
  private awaitsBuffers = false;

  constructor(device: ServedDevice) {
    this.device = device;
    this.filter = new ReceiveFilter(device.state.config);
  }

  /** To be called after enter(): true when the driver has set the device up anew since. */
  refresh(): boolean {
    const { device } = this;
    if (device.state.activation === this.activation) return false;
    this.activation = device.state.activation;
    const bit = (feature: bigint, offload: number) => (device.hasFeature(feature) ? offload : 0);
    this.accepts =
      bit(NetFeature.GUEST_CSUM, Offload.CHECKSUM) |
      bit(NetFeature.GUEST_TSO4, Offload.TSO4) |
      bit(NetFeature.GUEST_TSO6, Offload.TSO6) |
      bit(NetFeature.GUEST_ECN, Offload.ECN);
    this.sends =
      bit(NetFeature.CSUM, Offload.CHECKSUM) |
      bit(NetFeature.HOST_TSO4, Offload.TSO4) |
      bit(NetFeature.HOST_TSO6, Offload.TSO6) |
      bit(NetFeature.HOST_ECN, Offload.ECN);
    this.mergeable = device.hasFeature(NetFeature.MRG_RXBUF);
    this.filtered = device.hasFeature(NetFeature.CTRL_RX);
    // Receive buffers are looked for when there is a frame for them: no need to hear of each.
    this.receiveQueue?.disableNotifications();
    this.awaitsBuffers = false;
    return true;
  }

  get transmitQueue(): VirtQueue | undefined {
    return this.device.queue(NetQueue.TRANSMIT);
  }
  get receiveQueue(): VirtQueue | undefined {
    return this.device.queue(NetQueue.RECEIVE);
  }

  /** Takes the next frame that the driver sends. finish() is due for it, malformed or not, or undoTake(). */
  take(frame: Frame): Taken {
    const { taken } = this;
    if (!this.transmitQueue?.pop(taken)) return 'empty';
    const length = taken.readableBytes - HEADER_BYTES;
    if (length < MINIMUM_FRAME_BYTES || length > MAXIMUM_FRAME_BYTES) return 'malformed';
    frame.reset(length);
    this.load(frame);
    return validateOffloads(frame) && (frame.offloads & ~this.sends) === 0 ? 'frame' : 'malformed';
  }

  /** Leaves the frame last taken in the queue, as if it had not been taken. */
  undoTake(): void {
    this.transmitQueue?.undoPop();
  }

  /** Gives the descriptors of the frame last taken back to the driver. */
  finish(): void {
    this.transmitQueue?.push(this.taken.head, 0);
    this.transmitted = true;
  }

  /** Puts the frame into receive buffers, all of it or nothing. */
  receive(frame: Frame): Received {
    const queue = this.receiveQueue;
    if (queue === undefined || (this.filtered && !this.filter.admits(frame))) return 'refused';
    const total = HEADER_BYTES + frame.length;
    do {
      if (this.reserve(queue, total)) {
        if (this.awaitsBuffers) queue.disableNotifications();
        this.awaitsBuffers = false;
        this.fill(queue, frame);
        return 'delivered';
      }
      queue.undoPop(this.reservedCount);
      if (this.exhausted) return 'refused';
      this.awaitsBuffers = true;
    } while (queue.enableNotifications(this.reservedCount));
    return this.reservedCount === 0 ? 'waiting' : 'short';
  }

  serveControlQueue(): void {
    const queue = this.device.queue(NetQueue.CONTROL);
    if (queue === undefined) return;
    do {
      while (queue.pop(this.offered)) {
        queue.push(this.offered.head, serveControl(this.offered, this.device.memory, this.filter));
      }
      this.device.publish(queue);
    } while (queue.enableNotifications());
  }

  /** Shows the driver what was taken and received. */
  publish(): void {
    const { transmitQueue, receiveQueue, transmitted, received } = this;
    this.transmitted = false;
    this.received = false;
    if (transmitted && transmitQueue !== undefined) this.device.publish(transmitQueue);
    if (received && receiveQueue !== undefined) this.device.publish(receiveQueue);
  }

  /** The head becomes private, what follows is only pointed at. */
  private load(frame: Frame): void {
    const { taken, device } = this;
    const wanted = HEADER_BYTES + Math.min(frame.length, HEAD_BYTES);
    let loaded = 0;
    for (let i = 0; i < taken.readableCount; i++) {
      const length = taken.length(i);
      const address = device.memory.hostRange(taken.address(i), length);
      const head = Math.min(length, wanted - loaded);
      if (head > 0) {
        memcpy(hvaOffset(frame.address, loaded), address, head);
        loaded += head;
      }
      if (head < length) frame.rest.append(address + head, length - head);
    }
    frame.privateLength = wanted - HEADER_BYTES;
  }

  /** One buffer can never be enough, or all that the queue can hold are not. */
  private get exhausted(): boolean {
    return this.reservedCount === this.maximumBuffers || this.target.isFull;
  }

  private get maximumBuffers(): number {
    return this.mergeable ? (this.device.state.queues[NetQueue.RECEIVE]?.size ?? 0) : 1;
  }

  /** Pops buffers until `total` bytes fit; false when there are too few. */
  private reserve(queue: VirtQueue, total: number): boolean {
    const { offered, target } = this;
    const maximum = this.maximumBuffers;
    this.reservedCount = 0;
    target.reset();
    while (this.reservedCount < maximum && !target.isFull) {
      if (!queue.pop(offered)) return false;
      if (offered.writableBytes === 0) throw uselessBuffer();
      const before = target.bytes;
      this.appendBuffer(total);
      this.reservedHeads[this.reservedCount] = offered.head;
      this.reservedBytes[this.reservedCount] = target.bytes - before;
      this.reservedCount++;
      if (target.bytes === total) return true;
    }
    return false;
  }

  private appendBuffer(total: number): void {
    const { offered, target, device } = this;
    for (let i = offered.readableCount; i < offered.count && !target.isFull; i++) {
      const length = Math.min(offered.length(i), total - target.bytes);
      if (length > 0) target.append(device.memory.hostRangeForWrite(offered.address(i), length), length);
    }
  }

  private fill(queue: VirtQueue, frame: Frame): void {
    // Section 5.1.6.4.1: without VIRTIO_NET_F_MRG_RXBUF the field is 1, and so is the count.
    frame.bufferCount = this.reservedCount;
    frame.copyTo(this.target);
    for (let i = 0; i < this.reservedCount; i++) {
      queue.push(this.reservedHeads[i] as number, this.reservedBytes[i] as number);
    }
    this.received = true;
  }
}

const uselessBuffer = () =>
  new TsvmmError('TSVMM_E_GUEST_MEMORY', 'the driver offered a receive buffer that cannot be written');
