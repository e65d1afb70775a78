import type { ViewOf } from '../../ffi/struct.ts';
import { kvmDtable, kvmRegs, kvmSegment, kvmSregs } from '../../kvm/layouts.ts';
import { type CpuContext, createCpuContext } from './decode/cpu-context.ts';

/** Intel SDM vol. 3A, sections 2.2.1, 2.3 and 2.5. */
const CR0_PE = 1;
const CR4_CET = 1 << 23;
const EFER_LMA = 1 << 10;
const RFLAGS_DF = 1 << 10;
const RFLAGS_VM = 1 << 17;
/** The bit of a TSS's type that tells a 32-bit or 64-bit one from a 16-bit one: section 3.5. */
const TSS_WIDE = 8;

/** In encoding order, then RIP: as CpuContext.registers. */
const registerNames = [
  ...(['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const),
  ...(['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip'] as const),
];
export const registerOffsets = registerNames.map(name => kvmRegs.offsets[name]);
/** In encoding order: as CpuContext.segmentBases. */
const segmentNames = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const;
const segmentBaseOffsets = segmentNames.map(name => kvmSregs.offsets[name] + kvmSegment.offsets.base);

const at = kvmSregs.offsets;

/** A descriptor table or TSS, at a linear address. */
export class LinearTable {
  /** Signed halves of the base. */
  low = 0;
  high = 0;
  /** The offset of its last byte. */
  limit = 0;
  private readonly baseAt: number;
  private readonly limitAt: number;
  private readonly hasWideLimit: boolean;
  private readonly selectorAt: number | undefined;

  /** A view of the struct kvm_segment or kvm_dtable at `offset` of struct kvm_sregs. */
  constructor(offset: number, layout: typeof kvmSegment | typeof kvmDtable, { nullMeansNone = false } = {}) {
    this.baseAt = offset + layout.offsets.base;
    this.limitAt = offset + layout.offsets.limit;
    this.hasWideLimit = layout === kvmSegment;
    this.selectorAt = nullMeansNone ? offset + kvmSegment.offsets.selector : undefined;
  }

  load(sregs: DataView): void {
    this.low = sregs.getInt32(this.baseAt, true);
    this.high = sregs.getInt32(this.baseAt + 4, true);
    this.limit = this.hasWideLimit
      ? sregs.getUint32(this.limitAt, true)
      : sregs.getUint16(this.limitAt, true);
    if (this.selectorAt !== undefined && (sregs.getUint16(this.selectorAt, true) & ~3) === 0) this.limit = 0;
  }
}

/** A vCPU's registers as KVM keeps them, struct kvm_regs and struct kvm_sregs, read without allocation. */
export class VcpuContext {
  /** What the decoder needs; filled in by load(). */
  readonly cpu: CpuContext = createCpuContext();
  readonly gdt = new LinearTable(at.gdt, kvmDtable);
  readonly idt = new LinearTable(at.idt, kvmDtable);
  /** None while its selector is null, whatever limit it has (SDM vol. 2, LLDT; after a reset that is 64 KiB). */
  readonly ldt = new LinearTable(at.ldt, kvmSegment, { nullMeansNone: true });
  readonly tss = new LinearTable(at.tr, kvmSegment);
  /** The TSS has the 16-bit form of the 80286. */
  narrowTss = false;
  /** Low halves where the high one has no meaning here. Signed. */
  cr0 = 0;
  cr3Low = 0;
  cr3High = 0;
  cr4 = 0;
  efer = 0;
  /** Current privilege level. */
  cpl = 0;
  private readonly regs: DataView;
  private readonly sregs: DataView;

  /** The structs may be those in kvm_run (KVM_CAP_SYNC_REGS), or where ioctls put them. */
  constructor(regs: ViewOf<typeof kvmRegs>, sregs: ViewOf<typeof kvmSregs>) {
    this.regs = dataViewOf(regs.bytes);
    this.sregs = dataViewOf(sregs.bytes);
  }

  /** IA-32e mode is active: TSS and descriptor tables have their 64-bit forms. */
  get long(): boolean {
    return (this.efer & EFER_LMA) !== 0;
  }

  /** Shadow stacks may be in use; their pointer is not among these registers. */
  get shadowStacks(): boolean {
    return (this.cr4 & CR4_CET) !== 0;
  }

  /** Reads the registers. */
  load(): void {
    const { cpu, regs, sregs } = this;
    copyPairs(regs, registerOffsets, cpu.registers);
    copyPairs(sregs, segmentBaseOffsets, cpu.segmentBases);
    this.cr0 = sregs.getInt32(at.cr0, true);
    this.cr3Low = sregs.getInt32(at.cr3, true);
    this.cr3High = sregs.getInt32(at.cr3 + 4, true);
    this.cr4 = sregs.getInt32(at.cr4, true);
    this.efer = sregs.getInt32(at.efer, true);
    this.cpl = sregs.getUint8(at.ss + kvmSegment.offsets.dpl);
    this.gdt.load(sregs);
    this.idt.load(sregs);
    this.ldt.load(sregs);
    this.tss.load(sregs);
    this.narrowTss = (sregs.getUint8(at.tr + kvmSegment.offsets.type) & TSS_WIDE) === 0;
    const rflags = regs.getInt32(kvmRegs.offsets.rflags, true);
    cpu.descending = (rflags & RFLAGS_DF) !== 0;
    cpu.vectorPrefixes = (this.cr0 & CR0_PE) !== 0 && (rflags & RFLAGS_VM) === 0;
    const isLong = this.long && sregs.getUint8(at.cs + kvmSegment.offsets.l) !== 0;
    cpu.codeBits = isLong ? 64 : widthOf(sregs, at.cs);
    cpu.stackBits = isLong ? 64 : widthOf(sregs, at.ss);
  }
}

const dataViewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);

const widthOf = (sregs: DataView, segment: number): 16 | 32 =>
  sregs.getUint8(segment + kvmSegment.offsets.db) === 0 ? 16 : 32;

function copyPairs(from: DataView, offsets: readonly number[], into: Uint32Array): void {
  for (let i = 0; i < offsets.length; i++) {
    const offset = offsets[i] as number;
    into[2 * i] = from.getUint32(offset, true);
    into[2 * i + 1] = from.getUint32(offset + 4, true);
  }
}
