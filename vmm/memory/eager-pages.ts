import { PAGE_SIZE } from './address.ts';

const COUNT = 0;
const PAUSE_COUNT = 1;
const FIRST = 2;
/** Where an entry has been reserved, but not yet filled in. */
const NO_PAGE = -1;

/**
 * The pages that were copied without the rest of their chunk: they are writable from then on, while the rest stays
 * protected. Whoever saves such a chunk takes these pages from their copies. Cleared in the pause, when nobody else looks.
 * Entered in the pause, or later by a writer who has the chunk to itself (CowState.claimForCopy()): whoever has it after
 * him sees them all.
 */
export class EagerPages {
  static readonly MAXIMUM = 1023;
  static readonly WORDS = FIRST + EagerPages.MAXIMUM;
  /** Of the room for their copies. */
  static readonly BYTES = EagerPages.MAXIMUM * PAGE_SIZE;
  private readonly words: Int32Array;

  constructor(buffer: SharedArrayBuffer, byteOffset: number) {
    this.words = new Int32Array(buffer, byteOffset, EagerPages.WORDS);
  }

  get count(): number {
    return Atomics.load(this.words, COUNT);
  }

  clear(): void {
    this.words.fill(NO_PAGE);
    Atomics.store(this.words, PAUSE_COUNT, 0);
    Atomics.store(this.words, COUNT, 0);
  }

  /** The pause is over: what is entered from here on, writers enter. */
  endPause(): void {
    Atomics.store(this.words, PAUSE_COUNT, this.count);
  }

  /** Index of the first page that a writer has entered. */
  get firstOfWriters(): number {
    return Atomics.load(this.words, PAUSE_COUNT);
  }

  /** Room for `pageCount` pages: the first index, for set(); -1 if there is none. */
  reserve(pageCount: number): number {
    for (let count = this.count; count + pageCount <= EagerPages.MAXIMUM; ) {
      const found = Atomics.compareExchange(this.words, COUNT, count, count + pageCount);
      if (found === count) return count;
      count = found;
    }
    return -1;
  }

  /** Enters a page, by its number in RAM. */
  set(index: number, page: number): void {
    Atomics.store(this.words, FIRST + index, page);
  }

  /** Index of the first page from `first` to before `end`, at `index` or after it; -1 if there is none. */
  next(index: number, first: number, end: number): number {
    const { words, count } = this;
    for (let i = index; i < count; i++) {
      const page = Atomics.load(words, FIRST + i);
      if (page >= first && page < end) return i;
    }
    return -1;
  }

  has(page: number): boolean {
    return this.next(0, page, page + 1) >= 0;
  }

  /** How many pages there are from `first` to before `end`, at `index` or after it. */
  countIn(first: number, end: number, index = 0): number {
    let sum = 0;
    for (let i = this.next(index, first, end); i >= 0; i = this.next(i + 1, first, end)) sum++;
    return sum;
  }

  /** The page with an index; negative where it is still to be set(). */
  page(index: number): number {
    return Atomics.load(this.words, FIRST + index);
  }
}
