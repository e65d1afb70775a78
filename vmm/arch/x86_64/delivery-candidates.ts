import { PAGE_SIZE } from '../../memory/address.ts';
import { CandidateKind, type CandidateList } from './candidate-list.ts';
import { Gpr, Segment } from './decode/cpu-context.ts';
import { type LinearSource, readLinear } from './linear-memory.ts';
import type { PageWalker } from './page-walk.ts';
import type { LinearTable, VcpuContext } from './vcpu-context.ts';

/** More than the longest frame: SDM vol. 3A, figures 6-4, 6-5 and 6-9, with an error code; 20-29 for virtual-8086. */
const LONGEST_FRAME = 48;
/** A descriptor table is 64 KiB at most. */
const TABLE_PAGES = 17;
/** A TSS with an I/O permission bitmap: SDM vol. 1, section 19.5.2. */
const TSS_PAGES = 4;
/** Bytes of a 64-bit TSS without its bitmap: section 8.7. */
const TSS_BYTES = 104;

/** Offsets of stack pointers: RSP0 to RSP2 and IST1 to IST7 of a 64-bit TSS. */
const LONG_STACKS = [4, 36, 44, 52, 60, 68, 76, 84, 12, 20] as const;
/** ESP0 to ESP2 of a 32-bit TSS, each followed by its SS; SP0 to SP2 of a 16-bit one (sections 8.2.1 and 8.6). */
const WIDE_STACKS = [4, 12, 20] as const;
const NARROW_STACKS = [2, 6, 10] as const;
const DESCRIPTOR_BYTES = 8;
/** The bit of a selector that means the LDT. */
const TABLE_INDICATOR = 4;

/**
 * Finds what the delivery of an interrupt or exception may write, whichever it is: the stacks that the TSS names and the
 * present one, descriptors (accessed and busy bits), the tasks' state, and the page tables that translate all of these
 * and the IDT.
 */
export class DeliveryCandidates {
  private readonly memory: LinearSource;
  private readonly walker: PageWalker;
  private readonly vcpu: VcpuContext;
  private readonly list: CandidateList;
  private readonly tss = new DataView(new ArrayBuffer(TSS_BYTES));
  private readonly descriptor = new DataView(new ArrayBuffer(DESCRIPTOR_BYTES));
  private readonly noteTables = (walker: PageWalker): void => this.list.addTablesOf(walker);

  constructor(memory: LinearSource, walker: PageWalker, vcpu: VcpuContext, list: CandidateList) {
    this.memory = memory;
    this.walker = walker;
    this.vcpu = vcpu;
    this.list = list;
  }

  /** Adds to the list; the vCPU's registers are loaded and the walker is configured. */
  collect(): void {
    const { vcpu, list } = this;
    // A frame goes to the present stack if the privilege level does not change.
    if (vcpu.cpl === 0) this.addPresentStack();
    this.addTaskStacks();
    if (vcpu.cpl !== 0) this.addPresentStack();
    this.addTable(vcpu.gdt, TABLE_PAGES, true);
    this.addTable(vcpu.ldt, TABLE_PAGES, true);
    // Task switches, which only 32-bit mode has, store the outgoing task.
    this.addTable(vcpu.tss, TSS_PAGES, !vcpu.long);
    this.addTable(vcpu.idt, TABLE_PAGES, false);
    list.flushTables(CandidateKind.DELIVERY_TABLE);
  }

  private addPresentStack(): void {
    const { cpu } = this.vcpu;
    const low = (cpu.registers[2 * Gpr.RSP] as number) | 0;
    const high = (cpu.registers[2 * Gpr.RSP + 1] as number) | 0;
    if (cpu.stackBits === 64) this.addFrameBelow(low, high);
    else {
      const offset = cpu.stackBits === 16 ? low & 0xffff : low;
      this.addFrameBelow((offset + (cpu.segmentBases[2 * Segment.SS] as number)) | 0, 0);
    }
  }

  /** Stack pointers of the TSS; 0 stands for one that is not used. */
  private addTaskStacks(): void {
    const { vcpu, tss, memory, walker } = this;
    const wanted = Math.min(TSS_BYTES, vcpu.tss.limit + 1);
    const read = readLinear(memory, walker, vcpu.tss.low, vcpu.tss.high, wanted, tss, this.noteTables);
    const offsets = vcpu.long ? LONG_STACKS : vcpu.narrowTss ? NARROW_STACKS : WIDE_STACKS;
    for (let i = 0; i < offsets.length; i++) {
      const offset = offsets[i] as number;
      if (offset + 8 > read) continue;
      if (vcpu.long) this.addLongStack(tss.getInt32(offset, true), tss.getInt32(offset + 4, true));
      else if (vcpu.narrowTss)
        this.addLegacyStack(tss.getUint16(offset, true), tss.getUint16(offset + 2, true));
      else this.addLegacyStack(tss.getInt32(offset, true), tss.getUint16(offset + 4, true));
    }
  }

  private addLongStack(low: number, high: number): void {
    if (low !== 0 || high !== 0) this.addFrameBelow(low, high);
  }

  /** A stack of 32-bit or 16-bit mode, in the segment that `selector` names. */
  private addLegacyStack(pointer: number, selector: number): void {
    if (pointer === 0 && selector === 0) return;
    this.addFrameBelow((pointer + this.segmentBase(selector)) | 0, 0);
  }

  /** The base in the descriptor that a selector names (section 3.4.5), 0 if that cannot be read. */
  private segmentBase(selector: number): number {
    const { vcpu, descriptor, memory, walker } = this;
    const table = (selector & TABLE_INDICATOR) === 0 ? vcpu.gdt : vcpu.ldt;
    const low = (table.low + (selector & ~7)) | 0;
    const read = readLinear(memory, walker, low, 0, DESCRIPTOR_BYTES, descriptor, this.noteTables);
    if (read < DESCRIPTOR_BYTES) return 0;
    return (descriptor.getUint32(2, true) & 0xff_ffff) | (descriptor.getUint8(7) << 24);
  }

  /** The page or two below a stack pointer, which 64-bit mode aligns to 16. */
  private addFrameBelow(low: number, high: number): void {
    const top = low >>> 0;
    this.addStackPage(top - 1, high);
    if (((top - 1) & (PAGE_SIZE - 1)) < LONGEST_FRAME + 15)
      this.addStackPage(top - 1 - LONGEST_FRAME - 15, high);
  }

  /** `low` may be negative: it borrows from `high`. */
  private addStackPage(low: number, high: number): void {
    const upper = low < 0 && this.vcpu.long ? (high - 1) | 0 : high;
    if (this.walker.walk(low | 0, upper)) this.list.add(this.walker.physical, CandidateKind.STACK);
    this.list.addTablesOf(this.walker);
  }

  /** The pages of a table, or only what translates them. */
  private addTable({ low, high, limit }: LinearTable, mostPages: number, written: boolean): void {
    if (limit === 0) return;
    const within = low & (PAGE_SIZE - 1);
    const pageCount = Math.min(mostPages, Math.ceil((within + limit + 1) / PAGE_SIZE));
    for (let i = 0; i < pageCount; i++) {
      const address = (low >>> 0) - within + i * PAGE_SIZE;
      const upper = address > 0xffff_ffff && this.vcpu.long ? (high + 1) | 0 : high;
      const mapped = this.walker.walk(address | 0, upper);
      this.list.addTablesOf(this.walker);
      if (mapped && written) this.list.add(this.walker.physical, CandidateKind.DESCRIPTOR);
    }
  }
}
