import type { Frame } from '../../vmm/devices/virtio/net/frame.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { MAXIMUM_PORTS } from '../counters.ts';
import { chunkCount, type FramePool, NONE } from './frame-pool.ts';

/**
 * A first-in, first-out queue of stored frames that takes at most `capacity` chunks of the pool. A sender's frames may
 * fill as much as is left after them: one alone gets half, of N that press each gets one part in N + 1 (Choudhury and
 * Hahne, Dynamic Queue Length Thresholds for Shared-Memory Packet Switches, 1998). Otherwise the sender that has its
 * turn just after a receiver has made room takes all of it, time after time, and the others get nothing.
 */
export class FrameQueue {
  length = 0;
  private chunks = 0;
  /** By the sender's number; -1 is a frame that no port sent. */
  private readonly chunksBySender = new Int32Array(1 + MAXIMUM_PORTS);
  private first = NONE;
  private last = NONE;
  private readonly pool: FramePool;
  private readonly capacity: number;

  constructor(pool: FramePool, capacity: number) {
    this.pool = pool;
    this.capacity = capacity;
  }

  /** The oldest frame, or NONE. */
  get head(): number {
    return this.first;
  }

  /** Whether the queue takes a frame of this length from this sender; the pool may still be full. */
  fits(frameLength: number, sender: number): boolean {
    const left = this.capacity - this.chunks;
    const needed = chunkCount(frameLength);
    const used = this.chunksBySender[1 + sender] as number;
    return used + needed <= left;
  }

  /** Stores a copy of the frame; false when the queue or the pool is full. */
  store(frame: Frame): boolean {
    if (!this.fits(frame.length, frame.sender)) return false;
    const id = this.pool.store(frame);
    if (id === NONE) return false;
    this.append(id);
    return true;
  }

  /** As store(), for a frame that must not be lost however full the queue is; FramePool.reserve() made room for it. */
  storeAnyway(frame: Frame): void {
    const id = this.pool.storeAnyway(frame);
    if (id === NONE)
      throw new TsvmmError('TSVMM_E_INTERNAL', 'the frame pool has no room for what was reserved');
    this.append(id);
  }

  /** Takes the oldest frame, which is the caller's then. */
  shift(): number {
    const id = this.first;
    if (id === NONE) return NONE;
    this.first = this.pool.nextFrame[id] as number;
    if (this.first === NONE) this.last = NONE;
    this.length--;
    this.account(id, -1);
    return id;
  }

  /** Adds a frame that is stored already. The capacity is for new frames, so this may exceed it. */
  append(id: number): void {
    const { nextFrame } = this.pool;
    nextFrame[id] = NONE;
    if (this.last === NONE) this.first = id;
    else nextFrame[this.last] = id;
    this.last = id;
    this.length++;
    this.account(id, 1);
  }

  /** Moves all of `other` to the front. */
  prepend(other: FrameQueue): void {
    if (other.first === NONE) return;
    this.pool.nextFrame[other.last] = this.first;
    if (this.last === NONE) this.last = other.last;
    this.first = other.first;
    this.length += other.length;
    this.chunks += other.chunks;
    for (let i = 0; i < this.chunksBySender.length; i++) {
      this.chunksBySender[i] = (this.chunksBySender[i] as number) + (other.chunksBySender[i] as number);
    }
    other.chunksBySender.fill(0);
    other.first = NONE;
    other.last = NONE;
    other.length = 0;
    other.chunks = 0;
  }

  /** Calls `visit` with each frame, oldest first. */
  forEach(visit: (id: number) => void): void {
    for (let id = this.first; id !== NONE; id = this.pool.nextFrame[id] as number) visit(id);
  }

  /** Gives all frames back to the pool; answers how many. */
  clear(): number {
    const { length } = this;
    for (let id = this.shift(); id !== NONE; id = this.shift()) this.pool.release(id);
    return length;
  }

  private account(id: number, sign: 1 | -1): void {
    const chunks = sign * chunkCount(this.pool.frameLength(id));
    const index = 1 + this.pool.sender(id);
    this.chunks += chunks;
    this.chunksBySender[index] = (this.chunksBySender[index] as number) + chunks;
  }
}
