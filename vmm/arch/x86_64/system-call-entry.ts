import type { ViewOf } from '../../ffi/struct.ts';
import type { kvmSregs } from '../../kvm/layouts.ts';
import { type Gpa, gpa, gpaOffset } from '../../memory/address.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { PageWalker } from './page-walk.ts';

/** The MSR with the address that SYSCALL enters, SDM vol. 4, table 2-2. */
export const MSR_LSTAR = 0xc0000082;

/** Where SYSTEM_CALL_CODE is mapped: Linux leaves the last 2 MiB empty (Documentation/arch/x86/x86_64/mm.rst). */
const CODE_LINEAR = 0xffff_ffff_ffe0_0000n;
/** The entry for those 2 MiB in each level of tables from the root down. */
const LAST_ENTRY = 511;
/** Page-table entry bits, SDM vol. 3A, section 4.5. */
const PRESENT = 1n;
const LARGE = 1n << 7n;
const ACCESSED = 1n << 5n;
const EXECUTE_DISABLE = 1n << 63n;
const ADDRESS = 0x000f_ffff_ffff_f000n;
const CR4_LA57 = 1n << 12n;
const EFER_LMA = 1n << 10n;

const PAGE_FAULT_VECTOR = 14;
const GATE_BYTES = 16;

/** Guest memory that the guest takes for reserved: one page each. */
export interface SystemCallPages {
  readonly code: Gpa;
  readonly table: Gpa;
}

/**
 * On a KVM that works in software, SYSCALL of a guest's program goes to LSTAR with RCX and R11 set, but stays at CPL 3:
 * the kernel sees a page fault there. So when the kernel sets LSTAR, its page-fault gate is led through a few
 * instructions of ours that tell such faults from others and enter the kernel as SYSCALL does (SDM vol. 2, SYSCALL). No
 * exit is needed, and all of it lies in guest memory, where snapshots find it.
 *
 * RFLAGS.RF in R11 makes Linux return by IRET (do_syscall_64()): KVM knows no SYSRET either.
 */
export class SystemCallEntry {
  private readonly memory: GuestMemory;
  private readonly pages: SystemCallPages;
  private readonly walker: PageWalker;

  constructor(memory: GuestMemory, pages: SystemCallPages) {
    this.memory = memory;
    this.pages = pages;
    this.walker = new PageWalker(memory);
  }

  /**
   * Installs the detour for a kernel that sets LSTAR to `entry`; true if it is there now. The guest is left as it was
   * where its tables are not Linux's.
   */
  install(sregs: ViewOf<typeof kvmSregs>, entry: bigint): boolean {
    if ((sregs.efer & EFER_LMA) === 0n) return false;
    const { cr0, cr3, cr4, efer, idt } = sregs;
    const low = (value: bigint): number => Number(BigInt.asIntN(32, value));
    this.walker.configure(low(cr0), low(cr3), low(cr3 >> 32n), low(cr4), low(efer));
    const gate = this.physical(idt.base + BigInt(GATE_BYTES * PAGE_FAULT_VECTOR));
    if (gate === undefined || idt.limit < GATE_BYTES * (PAGE_FAULT_VECTOR + 1) - 1) return false;
    const handler = this.readHandler(gate);
    if (handler === CODE_LINEAR) return true;
    const code = systemCallCode(entry, handler);
    if (code === undefined || !this.map(cr3, (cr4 & CR4_LA57) === 0n ? 4 : 5)) return false;
    this.memory.copyIn(this.pages.code, code);
    this.writeHandler(gate, CODE_LINEAR);
    return true;
  }

  /** Maps the code read-only, for the kernel alone. All address spaces share the kernel's last tables. */
  private map(cr3: bigint, levels: number): boolean {
    let table = cr3 & ADDRESS;
    for (let level = levels; level > 2; level--) {
      const entry = this.readEntry(gpa(Number(table) + 8 * LAST_ENTRY));
      if (entry === undefined || (entry & PRESENT) === 0n || (entry & (EXECUTE_DISABLE | LARGE)) !== 0n)
        return false;
      table = entry & ADDRESS;
    }
    const at = gpa(Number(table) + 8 * LAST_ENTRY);
    const wanted = BigInt(this.pages.table) | PRESENT | ACCESSED;
    const present = this.readEntry(at);
    if (present === wanted) return true;
    if (present !== 0n) return false;
    const entries = new BigUint64Array(512);
    entries[0] = BigInt(this.pages.code) | PRESENT | ACCESSED;
    this.memory.copyIn(this.pages.table, new Uint8Array(entries.buffer));
    this.memory.copyIn(at, new Uint8Array(new BigUint64Array([wanted]).buffer));
    return true;
  }

  private readEntry(at: Gpa): bigint | undefined {
    if (!this.memory.contains(at, 8)) return undefined;
    return (BigInt(this.memory.readU32(gpaOffset(at, 4))) << 32n) | BigInt(this.memory.readU32(at));
  }

  private physical(linear: bigint): Gpa | undefined {
    const mapped = this.walker.walk(
      Number(BigInt.asIntN(32, linear)),
      Number(BigInt.asIntN(32, linear >> 32n)),
    );
    const { physical } = this.walker;
    return mapped && this.memory.contains(physical, GATE_BYTES) ? physical : undefined;
  }

  /** The offset in a gate of the 64-bit IDT: SDM vol. 3A, figure 6-8. */
  private readHandler(gate: Gpa): bigint {
    const { memory } = this;
    return (
      (BigInt(memory.readU32(gpaOffset(gate, 8))) << 32n) |
      (BigInt(memory.readU16(gpaOffset(gate, 6))) << 16n) |
      BigInt(memory.readU16(gate))
    );
  }

  private writeHandler(gate: Gpa, handler: bigint): void {
    const { memory } = this;
    memory.writeU32(gpaOffset(gate, 8), Number(handler >> 32n));
    memory.writeU16(gpaOffset(gate, 6), Number((handler >> 16n) & 0xffffn));
    memory.writeU16(gate, Number(handler & 0xffffn));
  }
}

/**
 * The detour, or undefined where addresses are too far apart. On the stack: error code, RIP, CS, RFLAGS, RSP, SS. What a
 * program can put into R11 must not become more than a program may set: only its arithmetic flags, TF, DF, AC and ID.
 */
export function systemCallCode(entry: bigint, handler: bigint): Uint8Array | undefined {
  const bytes: number[] = [];
  let far = false;
  const word = (value: bigint): number[] => {
    if (BigInt.asIntN(32, value) !== BigInt.asIntN(64, value)) far = true;
    return [0n, 8n, 16n, 24n].map(shift => Number((value >> shift) & 0xffn));
  };
  /** A near branch whose last four bytes are the distance to `target`. */
  const branch = (opcode: readonly number[], target: bigint): void => {
    const next = CODE_LINEAR + BigInt(bytes.length + opcode.length + 4);
    bytes.push(...opcode, ...word(target - next));
  };
  const toHandler = handler;
  bytes.push(0x48, 0x81, 0x7c, 0x24, 0x08, ...word(BigInt.asIntN(64, entry))); // cmpq $entry, 8(%rsp)
  branch([0x0f, 0x85], toHandler); // jne handler
  bytes.push(0xf6, 0x44, 0x24, 0x10, 0x03); // testb $3, 16(%rsp)
  branch([0x0f, 0x84], toHandler); // jz handler
  bytes.push(0x6a, 0x02, 0x9d); // pushq $2; popfq
  bytes.push(0x48, 0x8b, 0x64, 0x24, 0x20); // movq 32(%rsp), %rsp
  bytes.push(0x49, 0x81, 0xe3, ...word(0x24_0dd5n)); // andq $..., %r11
  bytes.push(0x49, 0x81, 0xcb, ...word(0x1_0202n)); // orq $(RF | IF | 2), %r11
  branch([0xe9], entry); // jmp entry
  return far ? undefined : Uint8Array.from(bytes);
}
