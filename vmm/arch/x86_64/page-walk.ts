import { type Gpa, gpa, PAGE_SIZE } from '../../memory/address.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';

/** What a walk needs of guest memory. */
export type TableMemory = Pick<GuestMemory, 'contains' | 'readU32'>;

/** Control register bits, Intel SDM vol. 3A section 2.5; EFER, section 2.2.1. */
const CR0_PG = 2 ** 31;
const CR4_PSE = 1 << 4;
const CR4_PAE = 1 << 5;
const CR4_LA57 = 1 << 12;
const EFER_LMA = 1 << 10;

/** Bits of a page-table entry, section 4.3 and 4.5: the same in all formats. */
const PRESENT = 1;
const LARGE = 1 << 7;
const ADDRESS_LOW = 0xffff_f000;
const ADDRESS_HIGH = 0x000f_ffff;
/** A 4 MiB page has address bits 39 to 32 in bits 20 to 13 (PSE-36). */
const PSE36_SHIFT = 13;
const PSE36_MASK = 0xff;

const LARGE_PAGE_LEVEL = 2;
const HUGE_PAGE_LEVEL = 3;
const DEEPEST = 5;

/**
 * Translates linear addresses as the processor would: SDM vol. 3A, chapter 4. Permissions do not matter here. All pages
 * of page tables that a walk reads are noted, as the processor may set accessed and dirty bits in them; under nested
 * paging it counts each of these reads as a write. Tables may hold anything: entries outside of RAM end the walk.
 * Allocates nothing.
 */
export class PageWalker {
  /** Where the linear address of the last walk() is, if that returned true. It need not be in RAM. */
  physical: Gpa = gpa(0);
  /** The page-table pages that the last walk() read, from the root down: `tableCount` of them, all in RAM. */
  readonly tables = new Float64Array(DEEPEST);
  tableCount = 0;

  private readonly memory: TableMemory;
  private root = 0;
  /** 0 without paging. */
  private levels = 0;
  private wideEntries = true;
  /** The highest level at which an entry can be a page. */
  private largestLevel = HUGE_PAGE_LEVEL;

  constructor(memory: TableMemory) {
    this.memory = memory;
  }

  /** Takes over the paging mode. `cr4` and `efer` are the low halves. */
  configure(cr0: number, cr3Low: number, cr3High: number, cr4: number, efer: number): void {
    this.root = (cr3Low & ADDRESS_LOW) >>> 0;
    this.wideEntries = (cr4 & CR4_PAE) !== 0;
    if ((cr0 & CR0_PG) === 0) this.levels = 0;
    else if ((efer & EFER_LMA) !== 0) {
      this.levels = (cr4 & CR4_LA57) === 0 ? 4 : 5;
      this.root += (cr3High & ADDRESS_HIGH) * 2 ** 32;
      this.wideEntries = true;
      this.largestLevel = HUGE_PAGE_LEVEL;
    } else if (this.wideEntries) {
      this.levels = 3;
      // The page-directory-pointer table is 32 bytes, anywhere in its page.
      this.root = (cr3Low & ~0x1f) >>> 0;
      this.largestLevel = LARGE_PAGE_LEVEL;
    } else {
      this.levels = 2;
      this.largestLevel = (cr4 & CR4_PSE) === 0 ? 0 : LARGE_PAGE_LEVEL;
    }
  }

  /**
   * Translates the linear address with these halves; bits above the paging mode's width are ignored. Returns false when
   * there is no translation; the tables on the way are noted all the same.
   */
  walk(low: number, high: number): boolean {
    this.tableCount = 0;
    if (this.levels === 0) {
      this.physical = gpa(low >>> 0);
      return true;
    }
    return this.wideEntries ? this.walkWide(low, high) : this.walkNarrow(low);
  }

  /** Entries of eight bytes, 512 in a table. */
  private walkWide(low: number, high: number): boolean {
    // In PAE paging there are no more than 32 address bits.
    const upper = this.levels === 3 ? 0 : high;
    let table = this.root;
    for (let level = this.levels; level >= 1; level--) {
      const entry = table + 8 * indexOf(low, upper, level);
      if (!this.note(entry, 8)) return false;
      const entryLow = this.memory.readU32(gpa(entry));
      if ((entryLow & PRESENT) === 0) return false;
      const entryHigh = this.memory.readU32(gpa(entry + 4));
      table = ((entryLow & ADDRESS_LOW) >>> 0) + (entryHigh & ADDRESS_HIGH) * 2 ** 32;
      const isLarge = level > 1 && (entryLow & LARGE) !== 0;
      if (isLarge && level > this.largestLevel) return false;
      if (level === 1 || isLarge) {
        const size = pageSize(level);
        this.physical = gpa(table - (table & (size - 1)) + (low & (size - 1)));
        return true;
      }
    }
    return false;
  }

  /** Entries of four bytes, 1024 in a table. */
  private walkNarrow(low: number): boolean {
    const directoryEntry = this.root + 4 * (low >>> 22);
    if (!this.note(directoryEntry, 4)) return false;
    const directory = this.memory.readU32(gpa(directoryEntry));
    if ((directory & PRESENT) === 0) return false;
    if ((directory & LARGE) !== 0 && this.largestLevel === LARGE_PAGE_LEVEL) {
      const above4GiB = ((directory >>> PSE36_SHIFT) & PSE36_MASK) * 2 ** 32;
      this.physical = gpa(above4GiB + ((directory & 0xffc0_0000) >>> 0) + (low & 0x003f_ffff));
      return true;
    }
    const entry = ((directory & ADDRESS_LOW) >>> 0) + 4 * ((low >>> 12) & 0x3ff);
    if (!this.note(entry, 4)) return false;
    const page = this.memory.readU32(gpa(entry));
    this.physical = gpa(((page & ADDRESS_LOW) >>> 0) + (low & (PAGE_SIZE - 1)));
    return (page & PRESENT) !== 0;
  }

  /** Whether the entry can be read; if so, its page is one more on the way. */
  private note(entry: number, bytes: number): boolean {
    if (!this.memory.contains(gpa(entry), bytes)) return false;
    this.tables[this.tableCount++] = pageOf(entry);
    return true;
  }
}

/** The page that an address is in. */
export const pageOf = (address: number): Gpa => gpa(address - (address & (PAGE_SIZE - 1)));

/** The nine address bits that choose an entry at `level`, 1 for page tables. */
export function indexOf(low: number, high: number, level: number): number {
  switch (level) {
    case 1:
      return (low >>> 12) & 0x1ff;
    case 2:
      return (low >>> 21) & 0x1ff;
    case 3:
      return ((low >>> 30) | (high << 2)) & 0x1ff;
    case 4:
      return (high >>> 7) & 0x1ff;
    default:
      return (high >>> 16) & 0x1ff;
  }
}

/** 4 KiB, 2 MiB or 1 GiB. */
const pageSize = (level: number): number => 1 << (12 + 9 * (level - 1));
