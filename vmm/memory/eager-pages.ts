import { PAGE_SIZE } from './address.ts';

const COUNT = 0;
const FIRST = 1;
const MAXIMUM = 511;

/**
 * The pages that were copied in the pause one by one: they are writable from then on, while the rest of their chunk
 * stays protected. Whoever saves such a chunk takes these pages from their copies. Written in the pause only, when
 * nobody else looks; read by all threads until the next one.
 */
export class EagerPages {
  static readonly WORDS = FIRST + MAXIMUM;
  /** Of the room for their copies. */
  static readonly BYTES = MAXIMUM * PAGE_SIZE;
  private readonly words: Int32Array;

  constructor(buffer: SharedArrayBuffer, byteOffset: number) {
    this.words = new Int32Array(buffer, byteOffset, EagerPages.WORDS);
  }

  get count(): number {
    return this.words[COUNT] as number;
  }

  hasRoomFor(pageCount: number): boolean {
    return this.count + pageCount <= MAXIMUM;
  }

  clear(): void {
    this.words[COUNT] = 0;
  }

  /** Enters pages, by the number in RAM of the first, and returns its index here. There is room for them. */
  add(firstPage: number, pageCount: number): number {
    const index = this.count;
    for (let i = 0; i < pageCount; i++) this.words[FIRST + index + i] = firstPage + i;
    this.words[COUNT] = index + pageCount;
    return index;
  }

  /** Index of the first page from `first` to before `end`, at `index` or after it; -1 if there is none. */
  next(index: number, first: number, end: number): number {
    const { words, count } = this;
    for (let i = index; i < count; i++) {
      const page = words[FIRST + i] as number;
      if (page >= first && page < end) return i;
    }
    return -1;
  }

  /** The page with an index. */
  page(index: number): number {
    return this.words[FIRST + index] as number;
  }
}
