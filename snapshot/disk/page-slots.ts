import type { BlockFile } from './block-file.ts';
import { corrupt } from './corrupt.ts';
import type { DiskGeometry } from './geometry.ts';
import {
  type LayerId,
  mapPageCount,
  PAGE_SIZE,
  PAYLOAD_OFFSET,
  pageGeneration,
  sealPage,
  slotOffset,
} from './layer-format.ts';

const NEVER_WRITTEN = -1;

/**
 * The pages of a layer file that change: the state record (page 0) and the map (from 1 on). Each has two slots; a new
 * version goes to the one that does not hold the newest, so a write that a crash tears leaves the old version whole.
 */
export class PageSlots {
  private readonly file: BlockFile;
  private readonly geometry: DiskGeometry;
  private readonly layer: LayerId;
  /** Slot of each page's newest version on stable storage, or NEVER_WRITTEN. */
  private readonly newest: Int8Array;
  /** The slot, by page, of versions that are not on stable storage yet. */
  private readonly written = new Map<number, number>();
  /** The slot, by page, that a crash has torn. */
  private readonly torn = new Map<number, number>();
  private generation = 0;

  constructor(file: BlockFile, geometry: DiskGeometry, layer: LayerId) {
    this.file = file;
    this.geometry = geometry;
    this.layer = layer;
    this.newest = new Int8Array(1 + mapPageCount(geometry)).fill(NEVER_WRITTEN);
  }

  /**
   * Reads pages [first, first + pages.length / PAGE_SIZE), each in its newest version; one that was never written
   * becomes zeros. Throws TSVMM_E_DISK_CORRUPT for a page of which nothing valid is left.
   */
  load(first: number, pages: Uint8Array): void {
    const count = pages.length / PAGE_SIZE;
    const slots = new Uint8Array(Math.min(count, PAGES_PER_READ) * 2 * PAGE_SIZE);
    for (let done = 0; done < count; done += PAGES_PER_READ) {
      const part = Math.min(PAGES_PER_READ, count - done);
      const pair = slots.subarray(0, part * 2 * PAGE_SIZE);
      if (this.file.readAt(pair, slotOffset(this.geometry, first + done, 0)) !== pair.length)
        throw corrupt(this.file.path, 'truncated');
      for (let i = 0; i < part; i++) {
        const into = pages.subarray((done + i) * PAGE_SIZE, (done + i + 1) * PAGE_SIZE);
        this.choose(first + done + i, pair.subarray(2 * i * PAGE_SIZE, 2 * (i + 1) * PAGE_SIZE), into);
      }
    }
  }

  /** Writes `page` as page `index`; it counts after commit(). Returns 0 or -errno. */
  write(index: number, page: Uint8Array): number {
    return this.writeSlot(index, this.newest[index] === 0 ? 1 : 0, page);
  }

  /** Whether any page's other slot was found torn, so that repair() is due. */
  get isTorn(): boolean {
    return this.torn.size > 0;
  }

  /**
   * Overwrites torn slots, before the layer is used for anything; `page` gives the present version of a page. A torn
   * slot lacks some sectors of a version that its crash undid; the same sectors, written again as part of another
   * version and torn again, could complete it, and so bring it back from the dead. Returns 0 or -errno.
   */
  repair(page: (index: number) => Uint8Array): number {
    for (const [index, slot] of this.torn) {
      const result = this.writeSlot(index, slot, page(index));
      if (result !== 0) return result;
    }
    return 0;
  }

  /** What was written is on stable storage: the other slots may be overwritten from now on. */
  commit(): void {
    for (const [index, slot] of this.written) {
      this.newest[index] = slot;
      this.torn.delete(index);
    }
    this.written.clear();
  }

  private writeSlot(index: number, slot: number, page: Uint8Array): number {
    this.generation++;
    sealPage(page, index, this.generation, this.layer);
    const result = this.file.writeAt(page, slotOffset(this.geometry, index, slot));
    if (result === 0) this.written.set(index, slot);
    return result;
  }

  private choose(index: number, pair: Uint8Array, into: Uint8Array): void {
    const slots = [pair.subarray(0, PAGE_SIZE), pair.subarray(PAGE_SIZE)] as const;
    const generations = slots.map(slot => pageGeneration(slot, index, this.layer)) as [number, number];
    const slot = generations[1] > generations[0] ? 1 : 0;
    const generation = generations[slot];
    if (generation < 0) throw corrupt(this.file.path, `page ${index} is damaged`);
    if (generations[1 - slot] === -1) this.torn.set(index, 1 - slot);
    this.generation = Math.max(this.generation, generation);
    // A slot torn in its page's first write and one never written: the page is as it was made, empty.
    if (generation === 0) return;
    this.newest[index] = slot;
    into.set(slots[slot].subarray(PAYLOAD_OFFSET), PAYLOAD_OFFSET);
  }
}

const PAGES_PER_READ = 32;
