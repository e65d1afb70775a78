import { type Frame, HEAD_BYTES, MAXIMUM_FRAME_BYTES } from '../../vmm/devices/virtio/net/frame.ts';
import { HEADER_BYTES } from '../../vmm/devices/virtio/net/header.ts';
import { ScatterList } from '../../vmm/devices/virtio/net/scatter-list.ts';
import { memcpy } from '../../vmm/ffi/libc.ts';
import { type Hva, hvaOffset } from '../../vmm/memory/address.ts';
import { allocateHostBuffer, type HostBuffer } from '../../vmm/memory/host-buffer.ts';
import { MAXIMUM_PORTS } from '../counters.ts';

const CHUNK_BYTES = 2048;
const MAXIMUM_CHUNKS = Math.ceil((HEADER_BYTES + MAXIMUM_FRAME_BYTES) / CHUNK_BYTES);
export const NONE = -1;

export const chunkCount = (frameLength: number): number =>
  Math.ceil((HEADER_BYTES + frameLength) / CHUNK_BYTES);

/**
 * Memory for frames that must wait: a number of chunks, of which a frame takes as many as it needs. A stored frame is
 * named by the number of its first chunk. Memory is touched as it is needed, the least recently freed last. A sender's
 * frames may fill as much as they leave free, as in a FrameQueue.
 */
export class FramePool {
  /** Each of `slabChunks`; one, unless reserve() added more. */
  private readonly slabs: HostBuffer[] = [];
  private readonly slabChunks: number;
  /** Links the chunks of a frame, and the free chunks. */
  private nextChunk = new Int32Array(0);
  private lengths = new Int32Array(0);
  private epochs = new Int32Array(0);
  private senders = new Int32Array(0);
  private offloads = new Uint8Array(0);
  private protocolHeaderLengths = new Uint8Array(0);
  private segmentCounts = new Uint16Array(0);
  /** For the queue that a frame is in. */
  nextFrame = new Int32Array(0);
  /** By the sender's number; -1 is a frame that no port sent. */
  private readonly chunksBySender = new Int32Array(1 + MAXIMUM_PORTS);
  private firstFree = NONE;
  private freeCount = 0;
  private readonly target = new ScatterList(MAXIMUM_CHUNKS);

  /** At most 2^20 chunks. */
  constructor(chunks: number) {
    this.slabChunks = chunks;
    this.addSlab();
  }

  get freeChunks(): number {
    return this.freeCount;
  }

  /**
   * Makes room for `chunks` beside half of what the pool was made with, for frames that must not be dropped. Allocates:
   * not for frames that flow.
   */
  reserve(chunks: number): void {
    while (this.freeCount < chunks + this.slabChunks / 2) this.addSlab();
  }

  frameLength(id: number): number {
    return this.lengths[id] as number;
  }

  epoch(id: number): number {
    return this.epochs[id] as number;
  }

  setEpoch(id: number, epoch: number): void {
    this.epochs[id] = epoch;
  }

  sender(id: number): number {
    return this.senders[id] as number;
  }

  /** Copies the frame in; NONE when there is no room, or its sender has its share. */
  store(frame: Frame): number {
    const used = this.chunksBySender[1 + frame.sender] as number;
    const isWithinShare = used + chunkCount(frame.length) <= this.freeCount;
    return isWithinShare ? this.storeAnyway(frame) : NONE;
  }

  /** As store(), whatever the sender's share. */
  storeAnyway(frame: Frame): number {
    const { target } = this;
    const chunks = chunkCount(frame.length);
    if (chunks > this.freeCount) return NONE;
    const id = this.firstFree;
    target.reset();
    let last = id;
    let left = HEADER_BYTES + frame.length;
    for (let chunk = id; left > 0; chunk = this.nextChunk[chunk] as number) {
      const length = Math.min(left, CHUNK_BYTES);
      target.append(this.addressOf(chunk), length);
      left -= length;
      last = chunk;
    }
    this.firstFree = this.nextChunk[last] as number;
    this.nextChunk[last] = NONE;
    this.freeCount -= chunks;
    this.account(frame.sender, chunks);
    frame.copyTo(target);
    this.lengths[id] = frame.length;
    this.epochs[id] = frame.epoch;
    this.senders[id] = frame.sender;
    this.offloads[id] = frame.offloads;
    this.protocolHeaderLengths[id] = frame.protocolHeaderLength;
    this.segmentCounts[id] = frame.segmentCount;
    this.nextFrame[id] = NONE;
    return id;
  }

  /** Makes `frame` the stored one; its bulk stays in the pool, so it is good until release(). */
  load(id: number, frame: Frame): void {
    const length = this.frameLength(id);
    frame.reset(length);
    frame.epoch = this.epoch(id);
    frame.sender = this.sender(id);
    frame.offloads = this.offloads[id] as number;
    frame.protocolHeaderLength = this.protocolHeaderLengths[id] as number;
    frame.segmentCount = this.segmentCounts[id] as number;
    const head = HEADER_BYTES + Math.min(length, HEAD_BYTES);
    memcpy(frame.address, this.addressOf(id), head);
    frame.privateLength = head - HEADER_BYTES;
    let left = HEADER_BYTES + length;
    let skip = head;
    for (let chunk = id; left > skip; chunk = this.nextChunk[chunk] as number) {
      const used = Math.min(left, CHUNK_BYTES);
      frame.rest.append(hvaOffset(this.addressOf(chunk), skip), used - skip);
      left -= used;
      skip = 0;
    }
  }

  release(id: number): void {
    let last = id;
    let count = 1;
    for (let next = this.nextChunk[id] as number; next !== NONE; next = this.nextChunk[next] as number) {
      last = next;
      count++;
    }
    this.nextChunk[last] = this.firstFree;
    this.firstFree = id;
    this.freeCount += count;
    this.account(this.sender(id), -count);
  }

  free(): void {
    for (const slab of this.slabs) slab.free();
  }

  private account(sender: number, chunks: number): void {
    this.chunksBySender[1 + sender] = (this.chunksBySender[1 + sender] as number) + chunks;
  }

  private addressOf(chunk: number): Hva {
    const slab = Math.floor(chunk / this.slabChunks);
    return hvaOffset(
      (this.slabs[slab] as HostBuffer).address,
      (chunk - slab * this.slabChunks) * CHUNK_BYTES,
    );
  }

  /** The new chunks are taken last. */
  private addSlab(): void {
    const start = this.nextChunk.length;
    const end = start + this.slabChunks;
    this.slabs.push(allocateHostBuffer(this.slabChunks * CHUNK_BYTES));
    this.nextChunk = grown(this.nextChunk, new Int32Array(end));
    this.lengths = grown(this.lengths, new Int32Array(end));
    this.epochs = grown(this.epochs, new Int32Array(end));
    this.senders = grown(this.senders, new Int32Array(end));
    this.offloads = grown(this.offloads, new Uint8Array(end));
    this.protocolHeaderLengths = grown(this.protocolHeaderLengths, new Uint8Array(end));
    this.segmentCounts = grown(this.segmentCounts, new Uint16Array(end));
    this.nextFrame = grown(this.nextFrame, new Int32Array(end).fill(NONE));
    for (let chunk = start; chunk < end; chunk++) this.nextChunk[chunk] = chunk + 1 < end ? chunk + 1 : NONE;
    let last = this.firstFree;
    while (last !== NONE && this.nextChunk[last] !== NONE) last = this.nextChunk[last] as number;
    if (last === NONE) this.firstFree = start;
    else this.nextChunk[last] = start;
    this.freeCount += this.slabChunks;
  }
}

function grown<List extends Int32Array | Uint8Array | Uint16Array>(from: List, into: List): List {
  into.set(from);
  return into;
}
