import { memcpy } from '../../../ffi/libc.ts';
import { type Hva, hva } from '../../../memory/address.ts';

/** Pieces of host memory, one after the other. Reused, so that filling it allocates nothing. */
export class ScatterList {
  count = 0;
  bytes = 0;
  private readonly addresses: Float64Array;
  private readonly lengths: Float64Array;

  constructor(capacity: number) {
    this.addresses = new Float64Array(capacity);
    this.lengths = new Float64Array(capacity);
  }

  get isFull(): boolean {
    return this.count === this.addresses.length;
  }

  address(index: number): Hva {
    return hva(this.addresses[index] as number);
  }

  length(index: number): number {
    return this.lengths[index] as number;
  }

  reset(): void {
    this.count = 0;
    this.bytes = 0;
  }

  /** The caller makes sure that the list is not full. */
  append(address: number, length: number): void {
    this.addresses[this.count] = address;
    this.lengths[this.count] = length;
    this.count++;
    this.bytes += length;
  }
}

/**
 * Copies `head` (`headLength` bytes at that address) and then `rest` into the pieces of `to`, which have room for
 * them all.
 */
export function copyScattered(head: Hva, headLength: number, rest: ScatterList, to: ScatterList): void {
  let from: number = head;
  let fromLeft = headLength;
  let next = 0;
  for (let i = 0; i < to.count; i++) {
    let target: number = to.address(i);
    let targetLeft = to.length(i);
    while (targetLeft > 0) {
      while (fromLeft === 0) {
        if (next === rest.count) return;
        from = rest.address(next);
        fromLeft = rest.length(next++);
      }
      const length = Math.min(fromLeft, targetLeft);
      memcpy(hva(target), hva(from), length);
      from += length;
      fromLeft -= length;
      target += length;
      targetLeft -= length;
    }
  }
}
