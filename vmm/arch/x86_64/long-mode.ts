import type { ViewOf } from '../../ffi/struct.ts';
import type { kvmSregs } from '../../kvm/layouts.ts';
import { GIB, gpa, HUGE_PAGE_SIZE, PAGE_SIZE } from '../../memory/address.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { setFlatSegments } from './segments.ts';

/** Intel SDM vol. 3A sections 2.5 (control registers), 2.2.1 (EFER), 4.5 (page tables), 3.4.5 (descriptors). */
const CR0_PE_ET_PG = 0x80000011n;
const CR4_PAE = 1n << 5n;
const EFER_LME_LMA = 0x500n;
const PRESENT_WRITABLE = 0x3;
const LARGE_PAGE = 0x80;

/** __BOOT_CS and __BOOT_DS of the Linux boot protocol. */
const CODE_SELECTOR = 0x10;
const DATA_SELECTOR = 0x18;
const TASK_SELECTOR = 0x20;
/** By selector: null, unused, 64-bit code, data, busy TSS. */
const DESCRIPTORS = [0n, 0n, 0x00af9b000000ffffn, 0x00cf93000000ffffn, 0x00008b0000000067n, 0n];

const MAPPED_BYTES = 4 * GIB;

/**
 * Long mode at CPL 0 with the first 4 GiB mapped to themselves, flat segments whose descriptors are in memory too, and
 * no IDT. Page tables take six pages at `pageTables`.
 */
export function setLongMode(
  sregs: ViewOf<typeof kvmSregs>,
  memory: GuestMemory,
  { gdt, pageTables }: { gdt: number; pageTables: number },
): void {
  writeIdentityMap(memory, pageTables);
  memory.copyIn(gpa(gdt), new Uint8Array(new BigUint64Array(DESCRIPTORS).buffer));

  setFlatSegments(sregs);
  sregs.cs.selector = CODE_SELECTOR;
  sregs.cs.l = 1;
  sregs.cs.db = 0;
  for (const segment of [sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss]) segment.selector = DATA_SELECTOR;
  sregs.tr.selector = TASK_SELECTOR;
  sregs.gdt.base = BigInt(gdt);
  sregs.gdt.limit = DESCRIPTORS.length * 8 - 1;
  sregs.idt.base = 0n;
  sregs.idt.limit = 0;
  sregs.cr0 = CR0_PE_ET_PG;
  sregs.cr3 = BigInt(pageTables);
  sregs.cr4 = CR4_PAE;
  sregs.efer = EFER_LME_LMA;
}

function writeIdentityMap(memory: GuestMemory, at: number): void {
  const pointers = at + PAGE_SIZE;
  const directories = pointers + PAGE_SIZE;
  const tables = new DataView(new ArrayBuffer(directories - at + (MAPPED_BYTES / GIB) * PAGE_SIZE));
  const set = (address: number, entry: number) => tables.setBigUint64(address - at, BigInt(entry), true);
  set(at, pointers + PRESENT_WRITABLE);
  for (let i = 0; i < MAPPED_BYTES / GIB; i++)
    set(pointers + 8 * i, directories + i * PAGE_SIZE + PRESENT_WRITABLE);
  for (let i = 0; i < MAPPED_BYTES / HUGE_PAGE_SIZE; i++)
    set(directories + 8 * i, i * HUGE_PAGE_SIZE + PRESENT_WRITABLE + LARGE_PAGE);
  memory.copyIn(gpa(at), new Uint8Array(tables.buffer));
}
