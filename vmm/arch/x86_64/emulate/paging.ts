import { type Gpa, gpa, PAGE_SIZE } from '../../../memory/address.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { indexOf } from '../page-walk.ts';
import { GuestException, PageFault, Vector } from './exception.ts';

/** What translation needs of guest memory. */
export type PagedMemory = Pick<GuestMemory, 'contains' | 'readU32' | 'compareExchangeU16'>;

/** Control register bits, SDM vol. 3A, section 2.5, and RFLAGS.AC. */
const CR0_WP = 1 << 16;
const CR4_LA57 = 1 << 12;
const CR4_SMAP = 1 << 21;
const RFLAGS_AC = 1 << 18;

/** Bits of a page-table entry, section 4.5. */
const PRESENT = 1;
const WRITABLE = 1 << 1;
const USER = 1 << 2;
const ACCESSED = 1 << 5;
const DIRTY = 1 << 6;
const LARGE = 1 << 7;
const ADDRESS_LOW = 0xffff_f000;
const ADDRESS_HIGH = 0x000f_ffff;
const LARGEST_PAGE_LEVEL = 3;

/** What access rights depend on. Low halves of the registers. */
export interface PagingMode {
  readonly cr0: number;
  readonly cr3Low: number;
  readonly cr3High: number;
  readonly cr4: number;
  readonly cpl: number;
}

/**
 * Translates linear addresses of 64-bit mode for an access, as the processor does: checks the rights of all levels
 * (SDM vol. 3A, section 4.6.1) and sets accessed and dirty bits (section 4.8), with the atomic accesses that other vCPUs
 * rely on. Not checked: reserved bits, and protection keys, which guests do not get.
 */
export class Paging {
  private readonly memory: PagedMemory;
  private mode: PagingMode = { cr0: 0, cr3Low: 0, cr3High: 0, cr4: 0, cpl: 0 };
  private rflags = 0;

  constructor(memory: PagedMemory) {
    this.memory = memory;
  }

  configure(mode: PagingMode, rflags: number): void {
    this.mode = mode;
    this.rflags = rflags;
  }

  /** Bits 63 to 47, or to 56 with five levels, are all the same: SDM vol. 1, section 3.3.7.1. */
  isCanonical(linear: bigint): boolean {
    const bits = (this.mode.cr4 & CR4_LA57) === 0 ? 48 : 57;
    return BigInt.asUintN(64, BigInt.asIntN(bits, linear)) === linear;
  }

  /** The physical address; it need not be in RAM. Throws GuestException, a page fault. */
  translate(linear: bigint, write: boolean): Gpa {
    for (;;) {
      const physical = this.walk(linear, write);
      if (physical !== undefined) return physical;
    }
  }

  /** Undefined when another vCPU changed an entry under our eyes. */
  private walk(linear: bigint, write: boolean): Gpa | undefined {
    const { memory, mode } = this;
    const low = Number(linear & 0xffff_ffffn) | 0;
    const high = Number(linear >> 32n) | 0;
    let table = ((mode.cr3Low & ADDRESS_LOW) >>> 0) + (mode.cr3High & ADDRESS_HIGH) * 2 ** 32;
    let rights = WRITABLE | USER;
    for (let level = (mode.cr4 & CR4_LA57) === 0 ? 4 : 5; ; level--) {
      const at = gpa(table + 8 * indexOf(low, high, level));
      if (!memory.contains(at, 8)) throw this.fault(linear, write, false);
      const entryLow = memory.readU32(at);
      if ((entryLow & PRESENT) === 0) throw this.fault(linear, write, false);
      rights &= entryLow;
      const isPage = level === 1 || (level <= LARGEST_PAGE_LEVEL && (entryLow & LARGE) !== 0);
      if (isPage && !this.allows(rights, write)) throw this.fault(linear, write, true);
      if (!this.mark(at, entryLow, isPage && write ? ACCESSED | DIRTY : ACCESSED)) return undefined;
      table = ((entryLow & ADDRESS_LOW) >>> 0) + (memory.readU32(gpa(at + 4)) & ADDRESS_HIGH) * 2 ** 32;
      if (!isPage) continue;
      const size = PAGE_SIZE * 512 ** (level - 1);
      return gpa(table - (table % size) + Number(linear & BigInt(size - 1)));
    }
  }

  /** Whether rights and-ed over all levels allow an access to data. */
  private allows(rights: number, write: boolean): boolean {
    const { cr0, cr4, cpl } = this.mode;
    const writable = (rights & WRITABLE) !== 0;
    if (cpl === 3) return (rights & USER) !== 0 && (!write || writable);
    const guarded = (cr4 & CR4_SMAP) !== 0 && (this.rflags & RFLAGS_AC) === 0;
    if ((rights & USER) !== 0 && guarded) return false;
    return !write || writable || (cr0 & CR0_WP) === 0;
  }

  /** Sets bits in an entry unless it has changed; those bits lie in its lowest 16, as does its present bit. */
  private mark(at: Gpa, entryLow: number, bits: number): boolean {
    if ((entryLow & bits) === bits) return true;
    const seen = entryLow & 0xffff;
    return this.memory.compareExchangeU16(at, seen, seen | bits) === seen;
  }

  private fault(linear: bigint, write: boolean, present: boolean): GuestException {
    const code =
      (present ? PageFault.PRESENT : 0) |
      (write ? PageFault.WRITE : 0) |
      (this.mode.cpl === 3 ? PageFault.USER : 0);
    return new GuestException(Vector.PF, code, linear);
  }
}
