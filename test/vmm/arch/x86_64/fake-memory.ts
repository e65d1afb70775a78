import type { LinearSource } from '../../../../vmm/arch/x86_64/linear-memory.ts';
import { type Gpa, gpa, PAGE_SIZE } from '../../../../vmm/memory/address.ts';

/** Guest memory from 0 on that is only there in this test, and page tables in it. */
export class FakeMemory implements LinearSource {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  private nextTable: number;

  constructor(length: number, firstTable: number) {
    this.bytes = new Uint8Array(length);
    this.view = new DataView(this.bytes.buffer);
    this.nextTable = firstTable;
  }

  contains(start: Gpa, length: number): boolean {
    return start >= 0 && start + length <= this.bytes.length;
  }

  readU8(at: Gpa): number {
    return this.view.getUint8(at);
  }

  readU32(at: Gpa): number {
    return this.view.getUint32(at, true);
  }

  /** A zeroed page for a table. */
  table(): Gpa {
    const table = this.nextTable;
    this.nextTable += PAGE_SIZE;
    return gpa(table);
  }

  /**
   * Maps a page of `4 KiB << (9 * (level - 1))` bytes in long mode or PAE tables; returns the pages of tables on the way,
   * root first. `flags` are or-ed into the last entry.
   */
  map(root: Gpa, levels: number, linear: bigint, physical: bigint, { level = 1, flags = 0x3n } = {}): Gpa[] {
    const way = [root];
    let table = BigInt(root);
    for (let at = levels; at > level; at--) {
      const entry = Number(table + 8n * ((linear >> BigInt(12 + 9 * (at - 1))) & 0x1ffn));
      if (this.view.getBigUint64(entry, true) === 0n)
        this.view.setBigUint64(entry, BigInt(this.table()) | 0x3n, true);
      table = this.view.getBigUint64(entry, true) & ~0xfffn;
      way.push(gpa(Number(table)));
    }
    const last = Number(table + 8n * ((linear >> BigInt(12 + 9 * (level - 1))) & 0x1ffn));
    this.view.setBigUint64(last, physical | flags | (level > 1 ? 0x80n : 0n), true);
    return way;
  }

  /** The tables that translate an address, as far as they are there, root first. */
  tablesOf(root: Gpa, levels: number, linear: bigint): Gpa[] {
    const way = [root];
    for (let at = levels; at > 1; at--) {
      const table = BigInt(way.at(-1) as Gpa);
      const entry = Number(table + 8n * ((linear >> BigInt(12 + 9 * (at - 1))) & 0x1ffn));
      const next = this.view.getBigUint64(entry, true) & ~0xfffn;
      if (next === 0n) break;
      way.push(gpa(Number(next)));
    }
    return way;
  }
}
