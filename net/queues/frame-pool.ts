import { type Frame, HEAD_BYTES, MAXIMUM_FRAME_BYTES } from '../../vmm/devices/virtio/net/frame.ts';
import { HEADER_BYTES } from '../../vmm/devices/virtio/net/header.ts';
import { ScatterList } from '../../vmm/devices/virtio/net/scatter-list.ts';
import { memcpy } from '../../vmm/ffi/libc.ts';
import { hvaOffset } from '../../vmm/memory/address.ts';
import { allocateHostBuffer } from '../../vmm/memory/host-buffer.ts';

const CHUNK_BYTES = 2048;
const MAXIMUM_CHUNKS = Math.ceil((HEADER_BYTES + MAXIMUM_FRAME_BYTES) / CHUNK_BYTES);
export const NONE = -1;

export const chunkCount = (frameLength: number): number =>
  Math.ceil((HEADER_BYTES + frameLength) / CHUNK_BYTES);

/**
 * Memory for frames that must wait: a fixed number of chunks, of which a frame takes as many as it needs. A stored
 * frame is named by the number of its first chunk. Memory is touched as it is needed, the least recently freed last.
 */
export class FramePool {
  private readonly memory;
  /** Links the chunks of a frame, and the free chunks. */
  private readonly nextChunk: Int32Array;
  private readonly lengths: Int32Array;
  private readonly epochs: Int32Array;
  private readonly senders: Int32Array;
  private readonly offloads: Uint8Array;
  private readonly protocolHeaderLengths: Uint8Array;
  private readonly segmentCounts: Uint16Array;
  /** For the queue that a frame is in. */
  readonly nextFrame: Int32Array;
  private firstFree = 0;
  private freeCount: number;
  private readonly target = new ScatterList(MAXIMUM_CHUNKS);

  constructor(chunks: number) {
    this.memory = allocateHostBuffer(chunks * CHUNK_BYTES);
    this.nextChunk = Int32Array.from({ length: chunks }, (_, i) => (i + 1 < chunks ? i + 1 : NONE));
    this.lengths = new Int32Array(chunks);
    this.epochs = new Int32Array(chunks);
    this.senders = new Int32Array(chunks);
    this.offloads = new Uint8Array(chunks);
    this.protocolHeaderLengths = new Uint8Array(chunks);
    this.segmentCounts = new Uint16Array(chunks);
    this.nextFrame = new Int32Array(chunks).fill(NONE);
    this.freeCount = chunks;
  }

  get freeChunks(): number {
    return this.freeCount;
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

  /** Copies the frame in; NONE when there is no room. */
  store(frame: Frame): number {
    const { target } = this;
    const chunks = chunkCount(frame.length);
    if (chunks > this.freeCount) return NONE;
    const id = this.firstFree;
    target.reset();
    let last = id;
    let left = HEADER_BYTES + frame.length;
    for (let chunk = id; left > 0; chunk = this.nextChunk[chunk] as number) {
      const length = Math.min(left, CHUNK_BYTES);
      target.append(this.memory.address + chunk * CHUNK_BYTES, length);
      left -= length;
      last = chunk;
    }
    this.firstFree = this.nextChunk[last] as number;
    this.nextChunk[last] = NONE;
    this.freeCount -= chunks;
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
    memcpy(frame.address, hvaOffset(this.memory.address, id * CHUNK_BYTES), head);
    frame.privateLength = head - HEADER_BYTES;
    let left = HEADER_BYTES + length;
    let skip = head;
    for (let chunk = id; left > skip; chunk = this.nextChunk[chunk] as number) {
      const used = Math.min(left, CHUNK_BYTES);
      frame.rest.append(this.memory.address + chunk * CHUNK_BYTES + skip, used - skip);
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
  }

  free(): void {
    this.memory.free();
  }
}
