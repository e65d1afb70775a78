/** What the protocol needs to know of a frame that waits in the switch. */
export interface MarkedFrame {
  /** The marker. */
  readonly epoch: number;
  readonly length: number;
}

export interface HeldLimits {
  readonly frame_count: number;
  readonly byte_count: number;
}

/**
 * The frames held for one receiving port, oldest first. Order is the point: while a frame waits here that may go now,
 * nothing newer may reach the port, or a channel would be reordered. So the switch asks releasable() before it takes
 * any other frame for the port, and passes what it gets through the filter once more.
 *
 * Bounded; a refused frame stays where it was (in the sender's tx ring), so that holding never loses one.
 */
export class HeldQueue<Frame extends MarkedFrame> {
  private readonly limits: HeldLimits;
  private readonly frames: Frame[] = [];
  private byteCount = 0;

  constructor(limits: HeldLimits) {
    this.limits = limits;
  }

  get frameCount(): number {
    return this.frames.length;
  }

  /** Whether a frame of `length` bytes fits. */
  accepts(length: number): boolean {
    return this.frames.length < this.limits.frame_count && this.byteCount + length <= this.limits.byte_count;
  }

  /** False, with nothing changed, when the queue is full: then the receiver's cut is to be asked for. */
  push(frame: Frame): boolean {
    if (!this.accepts(frame.length)) return false;
    this.frames.push(frame);
    this.byteCount += frame.length;
    return true;
  }

  /** The oldest frame if the port's epoch has caught up with it, else undefined. It stays until shift(). */
  releasable(receiverEpoch: number): Frame | undefined {
    const oldest = this.frames[0];
    return oldest !== undefined && oldest.epoch <= receiverEpoch ? oldest : undefined;
  }

  /** Takes the oldest frame out, once it has been delivered. */
  shift(): void {
    const oldest = this.frames.shift();
    if (oldest !== undefined) this.byteCount -= oldest.length;
  }

  /** All that wait, oldest first: a drain looks through them too. */
  [Symbol.iterator](): Iterator<Frame> {
    return this.frames[Symbol.iterator]();
  }
}
