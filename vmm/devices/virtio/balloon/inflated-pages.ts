import { HUGE_PAGE_SIZE } from '../../../memory/address.ts';
import { BALLOON_PAGE_SIZE } from './model.ts';

const PAGES_PER_BLOCK = HUGE_PAGE_SIZE / BALLOON_PAGE_SIZE;

/**
 * The pages in a balloon, and which huge pages of RAM are in it as a whole: only those are worth giving back, as a huge page
 * that is given back in part is split for good, and a snapshot then takes 75 times as long to protect it.
 */
export class InflatedPages {
  private readonly bits: Uint8Array;
  private readonly counts: Uint16Array;

  constructor(ramLength: number) {
    this.bits = new Uint8Array(Math.ceil(ramLength / BALLOON_PAGE_SIZE / 8));
    this.counts = new Uint16Array(Math.ceil(ramLength / HUGE_PAGE_SIZE));
  }

  /** `page` counts pages of RAM, without its hole. True when it was the last that its huge page lacked. */
  add(page: number): boolean {
    if (!this.flip(page, true)) return false;
    const block = Math.floor(page / PAGES_PER_BLOCK);
    const count = (this.counts[block] as number) + 1;
    this.counts[block] = count;
    return count === PAGES_PER_BLOCK;
  }

  remove(page: number): void {
    if (!this.flip(page, false)) return;
    const block = Math.floor(page / PAGES_PER_BLOCK);
    this.counts[block] = (this.counts[block] as number) - 1;
  }

  clear(): void {
    this.bits.fill(0);
    this.counts.fill(0);
  }

  private flip(page: number, to: boolean): boolean {
    const index = page >>> 3;
    const bit = 1 << (page & 7);
    const byte = this.bits[index] as number;
    if (((byte & bit) !== 0) === to) return false;
    this.bits[index] = byte ^ bit;
    return true;
  }
}
