import { type Gpa, gpaOffset, PAGE_SIZE } from '../../../memory/address.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { GuestException, NotEmulated, Vector } from './exception.ts';
import { type PagedMemory, Paging } from './paging.ts';

export type EmulatedMemory = PagedMemory & Pick<GuestMemory, 'readU8' | 'copyIn' | 'copyOut'>;

/** An operand that is no larger than a page lies in at most two. */
const PIECES = 2;

/**
 * Reads and writes operands at linear addresses, as the guest's present privilege level may. All pages of an operand
 * are translated before its first byte is touched, so that a fault leaves everything as it was. Throws GuestException,
 * and NotEmulated where the address is not RAM.
 */
export class LinearAccess {
  readonly paging: Paging;
  private readonly memory: EmulatedMemory;
  private readonly starts: Gpa[] = [];
  private readonly lengths = new Uint32Array(PIECES);
  private pieces = 0;

  constructor(memory: EmulatedMemory) {
    this.memory = memory;
    this.paging = new Paging(memory);
  }

  read(linear: bigint, into: Uint8Array, stack = false): void {
    this.translate(linear, into.length, false, stack);
    for (let i = 0, done = 0; i < this.pieces; i++) {
      const length = this.lengths[i] as number;
      this.memory.copyOut(this.starts[i] as Gpa, into.subarray(done, done + length));
      done += length;
    }
  }

  write(linear: bigint, from: Uint8Array, stack = false): void {
    this.translate(linear, from.length, true, stack);
    for (let i = 0, done = 0; i < this.pieces; i++) {
      const length = this.lengths[i] as number;
      this.memory.copyIn(this.starts[i] as Gpa, from.subarray(done, done + length));
      done += length;
    }
  }

  /** Throws what write() would throw, and changes nothing but accessed and dirty bits. */
  checkWrite(linear: bigint, length: number): void {
    this.translate(linear, length, true, false);
  }

  private translate(linear: bigint, length: number, write: boolean, stack: boolean): void {
    const { paging, memory } = this;
    const last = BigInt.asUintN(64, linear + BigInt(length - 1));
    if (!paging.isCanonical(linear) || !paging.isCanonical(last))
      throw new GuestException(stack ? Vector.SS : Vector.GP, 0);
    this.pieces = 0;
    for (let done = 0; done < length; ) {
      const at = BigInt.asUintN(64, linear + BigInt(done));
      const piece = Math.min(length - done, PAGE_SIZE - Number(at & BigInt(PAGE_SIZE - 1)));
      const physical = paging.translate(at, write);
      if (!memory.contains(physical, piece)) throw new NotEmulated('its operand is not in RAM');
      this.append(physical, piece);
      done += piece;
    }
  }

  private append(start: Gpa, length: number): void {
    const { pieces, starts, lengths } = this;
    const previous = pieces - 1;
    const isNext = pieces > 0 && gpaOffset(starts[previous] as Gpa, lengths[previous] as number) === start;
    if (isNext) lengths[previous] = (lengths[previous] as number) + length;
    else if (pieces === PIECES) throw new NotEmulated('its operand is too long');
    else {
      starts[pieces] = start;
      lengths[pieces] = length;
      this.pieces = pieces + 1;
    }
  }
}
