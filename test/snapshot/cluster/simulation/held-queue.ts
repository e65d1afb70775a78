/** What the queue needs to know of a frame. */
export interface MarkedFrame {
  /** The marker. */
  readonly epoch: number;
  readonly length: number;
}

export interface HeldLimits {
  readonly frame_count: number;
  readonly byte_count: number;
}

/** The frames held for one receiving port, oldest first. Bounded; a refused frame stays where it was. */
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

  /** False, with nothing changed, when the queue is full. */
  push(frame: Frame): boolean {
    if (!this.accepts(frame.length)) return false;
    this.frames.push(frame);
    this.byteCount += frame.length;
    return true;
  }

  /** The oldest frame. It stays until shift(). */
  get head(): Frame | undefined {
    return this.frames[0];
  }

  /** Takes the oldest frame out, once it has been delivered. */
  shift(): void {
    const oldest = this.frames.shift();
    if (oldest !== undefined) this.byteCount -= oldest.length;
  }

  /** All that wait, oldest first. */
  [Symbol.iterator](): Iterator<Frame> {
    return this.frames[Symbol.iterator]();
  }
}
