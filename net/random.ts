/**
 * A seeded pseudo-random generator: the same seed gives the same sequence, so that an impaired run can be repeated.
 * It is mulberry32: 32 bits of state, which is plenty for dropping frames and for nothing else.
 */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0;
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Uniform among the whole numbers below `bound`. */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }
}
