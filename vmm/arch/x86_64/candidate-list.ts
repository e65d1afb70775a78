import type { Gpa } from '../../memory/address.ts';
import { type PageWalker, pageOf, type TableMemory } from './page-walk.ts';

/** Why a page may be the one whose write failed. */
export const CandidateKind = {
  /** The instruction writes it. */
  OPERAND: 0,
  /** It is a page table that translates the instruction, its operands or its stack. */
  TABLE: 1,
  /** The frame of an interrupt or exception may be written to it. */
  STACK: 2,
  /** It has descriptors, whose accessed or busy bits may be set, or a task's state. */
  DESCRIPTOR: 3,
  /** It is a page table that translates what the delivery of an interrupt accesses. */
  DELIVERY_TABLE: 4,
} as const;
export type CandidateKind = (typeof CandidateKind)[keyof typeof CandidateKind];

/** Distinct pages of guest RAM, the most likely first. */
export class CandidateList {
  static readonly CAPACITY = 256;

  /** Guest-physical addresses of pages, `count` of them. */
  readonly pages = new Float64Array(CandidateList.CAPACITY);
  /** A CandidateKind for each: the first reason that was found. */
  readonly kinds = new Uint8Array(CandidateList.CAPACITY);
  count = 0;
  /** More pages were found than there is room for. */
  overflow = false;

  private readonly memory: TableMemory;
  /** Page tables wait here until the pages that they translate are all in the list. */
  private readonly pending = new Float64Array(CandidateList.CAPACITY);
  private pendingCount = 0;

  constructor(memory: TableMemory) {
    this.memory = memory;
  }

  clear(): void {
    this.count = 0;
    this.pendingCount = 0;
    this.overflow = false;
  }

  /** Adds the page with a guest-physical address; what is not RAM cannot be protected. */
  add(address: Gpa, kind: CandidateKind): void {
    const page = pageOf(address);
    if (!this.memory.contains(page, 1) || includes(this.pages, this.count, page)) return;
    if (this.count === CandidateList.CAPACITY) {
      this.overflow = true;
      return;
    }
    this.kinds[this.count] = kind;
    this.pages[this.count++] = page;
  }

  /** Notes the tables that the last walk went through, for flushTables(). */
  addTablesOf({ tables, tableCount }: PageWalker): void {
    // From the leaf up: neighbours share all of them, and then the first comparison ends it.
    for (let i = tableCount - 1; i >= 0; i--) {
      const table = tables[i] as number;
      if (includes(this.pending, this.pendingCount, table)) continue;
      if (this.pendingCount === CandidateList.CAPACITY) this.overflow = true;
      else this.pending[this.pendingCount++] = table;
    }
  }

  /** Adds the tables noted so far. */
  flushTables(kind: CandidateKind): void {
    for (let i = 0; i < this.pendingCount; i++) this.add(this.pending[i] as Gpa, kind);
    this.pendingCount = 0;
  }
}

/** From the end, where what was just added is. */
function includes(list: Float64Array, count: number, value: number): boolean {
  for (let i = count - 1; i >= 0; i--) if (list[i] === value) return true;
  return false;
}
