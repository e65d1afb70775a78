import { Random as Generator } from '../../../../net/random.ts';

/** Repeatable dice. */
export class Random extends Generator {
  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(probability: number): boolean {
    return probability > 0 && this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

/** Folds `value` into a 32-bit digest. */
export function mix(digest: number, value: number): number {
  let mixed = Math.imul(digest ^ value, 0x9e3779b1) ^ (digest >>> 13);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
