import { BLOCKS_PER_PAGE, BlockState, PAGE_SIZE, PAYLOAD_OFFSET, PAYLOAD_SIZE } from './layer-format.ts';

/** A byte of the map that holds the same state four times. */
const fourTimes = (state: BlockState): number => state * 0b01010101;

/**
 * What a layer has for each block, two bits each, in memory exactly as in the file: as pages with room for their
 * headers. Remembers which pages differ from the file.
 */
export class LayerMap {
  readonly pageCount: number;
  private readonly pages: Uint8Array;
  private readonly dirty: Uint8Array;
  private dirtyCount = 0;

  constructor(pageCount: number) {
    this.pageCount = pageCount;
    this.pages = new Uint8Array(pageCount * PAGE_SIZE);
    this.dirty = new Uint8Array(pageCount);
  }

  /** All pages, one after the other; for loading them. */
  get allPages(): Uint8Array {
    return this.pages;
  }

  /** Page `index` of the map: header and payload. */
  page(index: number): Uint8Array {
    return this.pages.subarray(index * PAGE_SIZE, (index + 1) * PAGE_SIZE);
  }

  payload(index: number): Uint8Array {
    return this.pages.subarray(index * PAGE_SIZE + PAYLOAD_OFFSET, (index + 1) * PAGE_SIZE);
  }

  get(block: number): BlockState {
    const page = Math.floor(block / BLOCKS_PER_PAGE);
    const within = block - page * BLOCKS_PER_PAGE;
    const byte = this.pages[page * PAGE_SIZE + PAYLOAD_OFFSET + (within >>> 2)] as number;
    return ((byte >>> (2 * (within & 3))) & 3) as BlockState;
  }

  /** Sets the blocks [first, end). */
  set(first: number, end: number, state: BlockState): void {
    for (let block = first; block < end; ) {
      const page = Math.floor(block / BLOCKS_PER_PAGE);
      const pageEnd = Math.min(end, (page + 1) * BLOCKS_PER_PAGE);
      this.setInPage(page, block - page * BLOCKS_PER_PAGE, pageEnd - page * BLOCKS_PER_PAGE, state);
      block = pageEnd;
    }
  }

  get isDirty(): boolean {
    return this.dirtyCount > 0;
  }

  isPageDirty(index: number): boolean {
    return this.dirty[index] === 1;
  }

  markClean(): void {
    this.dirty.fill(0);
    this.dirtyCount = 0;
  }

  private setInPage(page: number, first: number, end: number, state: BlockState): void {
    const start = page * PAGE_SIZE + PAYLOAD_OFFSET;
    let block = first;
    for (; block < end && (block & 3) !== 0; block++) this.setOne(start, block, state);
    const wholeBytes = (end - block) >>> 2;
    this.pages.fill(fourTimes(state), start + (block >>> 2), start + (block >>> 2) + wholeBytes);
    for (block += 4 * wholeBytes; block < end; block++) this.setOne(start, block, state);
    if (this.dirty[page] === 0) {
      this.dirty[page] = 1;
      this.dirtyCount++;
    }
  }

  private setOne(start: number, block: number, state: BlockState): void {
    const at = start + (block >>> 2);
    const shift = 2 * (block & 3);
    this.pages[at] = ((this.pages[at] as number) & ~(3 << shift)) | (state << shift);
  }
}

/**
 * Calls `visit` with each run of blocks [first, end) that `payload`, page `page` of a map, has DATA or ZERO for, up
 * to `blockCount`. Answers false when it holds what no map can: an unknown state, or blocks beyond the disk's end.
 */
export function forEachRun(
  payload: Uint8Array,
  page: number,
  blockCount: number,
  visit: (first: number, end: number, state: BlockState) => void,
): boolean {
  const base = page * BLOCKS_PER_PAGE;
  let runState: BlockState = BlockState.ABSENT;
  let runStart = base;
  let valid = true;
  const endRun = (at: number) => {
    if (runState !== BlockState.ABSENT) {
      if (at > blockCount) valid = false;
      else visit(runStart, at, runState);
    }
    runStart = at;
  };
  for (let i = 0; i < PAYLOAD_SIZE && valid; i++) {
    const byte = payload[i] as number;
    if (byte === fourTimes(runState)) continue;
    for (let j = 0; j < 4 && valid; j++) {
      const state = (byte >>> (2 * j)) & 3;
      if (state === 3) return false;
      if (state === runState) continue;
      endRun(base + 4 * i + j);
      runState = state as BlockState;
    }
  }
  endRun(base + BLOCKS_PER_PAGE);
  return valid;
}
