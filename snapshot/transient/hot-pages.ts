import { HUGE_PAGE_SIZE, PAGE_SIZE } from '../../vmm/memory/address.ts';

/** Pages are learned in blocks of so many, aligned: KVM maps about as many at once. */
const BLOCK_PAGES = 8;
/** Each costs some downtime. */
const MAXIMUM_BLOCKS = 48;
/** In so many chunks of 2 MiB: each becomes small pages, which makes arming longer. */
const MAXIMUM_CHUNKS = 8;
const BLOCKS_PER_CHUNK = HUGE_PAGE_SIZE / PAGE_SIZE / BLOCK_PAGES;
/** For so many snapshots a block is remembered that is not written any more. */
const MEMORY = 16;

/** What one snapshot has seen of its guest's writes, as page numbers in RAM. */
export interface ObservedWrites {
  /** Pages that made a writer wait for a copy, the first ones after the cut. */
  readonly first: readonly number[];
  /** Pages that were copied in the pause or by themselves, and have changed since. */
  readonly changed: readonly number[];
}

/**
 * The pages that a VM writes right after each cut, as its earlier snapshots have seen: a guest that goes on returns to
 * the same stacks, queues and buffers. To copy them one by one in the pause takes less time than its faults afterwards.
 * Learned is what has been among the first writes twice, as what is written once may be a different page every time.
 */
export class HotPages {
  static readonly MAXIMUM = MAXIMUM_BLOCKS * BLOCK_PAGES;
  /** By the number of the block: how long it is still remembered. */
  private readonly hot = new Map<number, number>();
  private readonly seenOnce = new Map<number, number>();

  /** In ascending order, at most MAXIMUM. */
  get pages(): number[] {
    const blocks = [...this.hot.keys()].sort((a, b) => a - b);
    return blocks.flatMap(block => Array.from({ length: BLOCK_PAGES }, (_, i) => block * BLOCK_PAGES + i));
  }

  learn({ first, changed }: ObservedWrites): void {
    const { hot, seenOnce } = this;
    age(seenOnce);
    for (const block of age(hot)) seenOnce.set(block, MEMORY);
    for (const block of blocksOf(changed)) if (hot.has(block)) hot.set(block, MEMORY);
    for (const block of blocksOf(first)) {
      if (seenOnce.has(block) && this.hasRoomFor(block)) {
        seenOnce.delete(block);
        hot.set(block, MEMORY);
      } else seenOnce.set(block, MEMORY);
    }
  }

  private hasRoomFor(block: number): boolean {
    const chunks = new Set([block, ...this.hot.keys()].map(each => Math.floor(each / BLOCKS_PER_CHUNK)));
    return this.hot.size < MAXIMUM_BLOCKS && chunks.size <= MAXIMUM_CHUNKS;
  }
}

const blocksOf = (pages: readonly number[]) => new Set(pages.map(page => Math.floor(page / BLOCK_PAGES)));

/** Answers those that are forgotten. */
function age(blocks: Map<number, number>): number[] {
  const forgotten: number[] = [];
  for (const [block, left] of blocks) {
    if (left > 1) blocks.set(block, left - 1);
    else forgotten.push(block);
  }
  for (const block of forgotten) blocks.delete(block);
  return forgotten;
}
