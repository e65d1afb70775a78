import { NONE } from './frame-pool.ts';

/** Stored frames that are under way, ordered by their time of arrival (equal times: as they came). A binary heap. */
export class DelayLine {
  private count = 0;
  private sequence = 0;
  private readonly ids: Int32Array;
  private readonly times: Float64Array;
  private readonly sequences: Float64Array;

  constructor(capacity: number) {
    this.ids = new Int32Array(capacity);
    this.times = new Float64Array(capacity);
    this.sequences = new Float64Array(capacity);
  }

  get length(): number {
    return this.count;
  }

  get isFull(): boolean {
    return this.count === this.ids.length;
  }

  /** When the next frame arrives; infinite if none is under way. */
  get next_us(): number {
    return this.count === 0 ? Number.POSITIVE_INFINITY : (this.times[0] as number);
  }

  /** The next frame, due or not; NONE if there is none. */
  get head(): number {
    return this.count === 0 ? NONE : (this.ids[0] as number);
  }

  /** The caller makes sure that the line is not full. */
  add(id: number, arrival_us: number): void {
    let at = this.count++;
    this.set(at, id, arrival_us, this.sequence++);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.isBefore(parent, at)) return;
      this.swap(parent, at);
      at = parent;
    }
  }

  /** Takes the next frame out. */
  shift(): void {
    if (this.count === 0) return;
    this.count--;
    this.copy(this.count, 0);
    this.sink();
  }

  /** Takes out the frames that `isUnwanted` says so of. */
  remove(isUnwanted: (id: number) => boolean): void {
    let kept = 0;
    for (let at = 0; at < this.count; at++) {
      if (!isUnwanted(this.ids[at] as number)) this.copy(at, kept++);
    }
    this.count = kept;
    // Leaving some out keeps no heap order: it is made again, from the last parent up.
    for (let at = (kept >> 1) - 1; at >= 0; at--) this.sink(at);
  }

  /** Calls `visit` with each frame, in the order of arrival. Allocates: for the end of a recording. */
  forEach(visit: (id: number) => void): void {
    const places = Array.from({ length: this.count }, (_, at) => at);
    for (const at of places.sort((a, b) => (this.isBefore(a, b) ? -1 : 1))) visit(this.ids[at] as number);
  }

  private sink(start = 0): void {
    let at = start;
    for (;;) {
      let first = at;
      for (let child = 2 * at + 1; child <= 2 * at + 2 && child < this.count; child++) {
        if (this.isBefore(child, first)) first = child;
      }
      if (first === at) return;
      this.swap(first, at);
      at = first;
    }
  }

  private isBefore(a: number, b: number): boolean {
    const difference = (this.times[a] as number) - (this.times[b] as number);
    return (
      difference < 0 || (difference === 0 && (this.sequences[a] as number) < (this.sequences[b] as number))
    );
  }

  private set(at: number, id: number, time_us: number, sequence: number): void {
    this.ids[at] = id;
    this.times[at] = time_us;
    this.sequences[at] = sequence;
  }

  private swap(a: number, b: number): void {
    const id = this.ids[a] as number;
    const time_us = this.times[a] as number;
    const sequence = this.sequences[a] as number;
    this.copy(b, a);
    this.set(b, id, time_us, sequence);
  }

  private copy(from: number, to: number): void {
    this.set(to, this.ids[from] as number, this.times[from] as number, this.sequences[from] as number);
  }
}
