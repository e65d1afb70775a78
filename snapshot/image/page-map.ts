/** What an image says of one page. */
export const PageState = {
  /** It is as the parent has it. */
  INHERITED: 0,
  /** Its content is in this image. */
  DATA: 1,
  /** It is all zero, whatever the parent has. */
  ZERO: 2,
} as const;
export type PageState = (typeof PageState)[keyof typeof PageState];

const PAGES_PER_BYTE = 4;
/** A byte with an invalid state (3) has both bits of a pair. */
const LOW_BITS = 0b01010101;

/** Two bits for each page of RAM, lowest first, as in the maps of disk layers (docs/disk-format.md). */
export class PageMap {
  readonly bytes: Uint8Array;

  /** `bytes` holds PageMap.size() bytes; a new map says INHERITED of every page. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  static size(pageCount: number): number {
    return Math.ceil(pageCount / PAGES_PER_BYTE);
  }

  get(page: number): PageState {
    return (((this.bytes[page >> 2] as number) >> (2 * (page & 3))) & 3) as PageState;
  }

  set(page: number, state: PageState): void {
    const shift = 2 * (page & 3);
    const byte = this.bytes[page >> 2] as number;
    this.bytes[page >> 2] = (byte & ~(3 << shift)) | (state << shift);
  }

  /** Whether every page has one of the three states, and none is inherited unless that is allowed. */
  isValid(pageCount: number, { inherits }: { inherits: boolean }): boolean {
    for (const byte of this.bytes) if ((byte & (byte >> 1) & LOW_BITS) !== 0) return false;
    for (let page = pageCount; page < this.bytes.length * PAGES_PER_BYTE; page++)
      if (this.get(page) !== PageState.INHERITED) return false;
    if (inherits) return true;
    for (let page = 0; page < pageCount; page++) if (this.get(page) === PageState.INHERITED) return false;
    return true;
  }

  /** How many of the pages from `first` to before `end` have this state. */
  count(state: PageState, first: number, end: number): number {
    let count = 0;
    for (let page = first; page < end; page++) if (this.get(page) === state) count++;
    return count;
  }
}
