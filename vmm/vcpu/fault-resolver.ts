import { OperandFlag } from '../arch/x86_64/decode/memory-operands.ts';
import { FaultCandidates } from '../arch/x86_64/fault-candidates.ts';
import type { XsaveArea } from '../arch/x86_64/xsave-area.ts';
import { SyncRegs } from '../kvm/constants.ts';
import { kvmRun, kvmXsave } from '../kvm/layouts.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import { type Gpa, PAGE_SIZE } from '../memory/address.ts';
import { CopyOnWrite } from '../memory/copy-on-write.ts';
import { CowCounter } from '../memory/cow-state.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { ramOffsetOf } from '../memory/layout.ts';
import type { RamDescriptor } from '../memory/ram.ts';

/** Faults in the same place without progress before all protected memory is saved at once. */
const PATIENCE = 2;
/** Faults in the same place with nothing protected at all before the guest is given up. */
const BAFFLEMENT = 8;

/**
 * Makes progress after KVM_RUN said EFAULT, which with write-protected RAM means: the guest, or KVM on its behalf,
 * wrote to a protected page; which one is not told. The pages that the instruction at rip may write are saved and
 * unprotected; saving one too many is harmless. If none of them was protected, and this was no race with another
 * thread, everything left is saved: slow, always right, and counted as a fallback.
 */
export class FaultResolver {
  private readonly cow: CopyOnWrite;
  private readonly candidates: FaultCandidates;
  private readonly vcpu: Vcpu;
  private readonly xsave: XsaveArea | undefined;
  /** Of the vCPU, for instructions that have addresses in vector registers. */
  private readonly vectors = kvmXsave.allocate().bytes;
  private readonly vectorView = new DataView(
    this.vectors.buffer,
    this.vectors.byteOffset,
    this.vectors.byteLength,
  );
  /** The general registers at this fault and at the one before. */
  private readonly registers: Uint32Array;
  private readonly before: Uint32Array;
  private fruitless = 0;
  private baffled = 0;

  /** `xsave` tells how the vCPU's XSAVE area is made, where it has one. */
  constructor(vcpu: Vcpu, memory: GuestMemory, ram: RamDescriptor, xsave: XsaveArea | undefined) {
    this.vcpu = vcpu;
    this.xsave = xsave;
    this.cow = new CopyOnWrite(ram.cow, ram.address, ram.length);
    // The kernel leaves the registers in kvm_run at every exit (KVM_CAP_SYNC_REGS); measured, it costs nothing there.
    const run = kvmRun.at(vcpu.shared.buffer, vcpu.shared.byteOffset);
    run.kvm_valid_regs = BigInt(SyncRegs.REGS | SyncRegs.SREGS);
    const { bytes } = run['s.regs.regs'];
    this.candidates = new FaultCandidates(memory, run['s.regs.regs'], run['s.regs.sregs']);
    if (xsave !== undefined) this.candidates.xsaveLength = xsave.bytes;
    this.registers = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    this.before = new Uint32Array(this.registers.length);
  }

  /** True when the vCPU may enter the guest again; false when the fault has nothing to do with protection. */
  resolve(): boolean {
    // The guest has got on since the last fault: that one was resolved, whoever did it.
    if (!this.isSamePlace()) this.fruitless = this.baffled = 0;
    if (!this.cow.state.armed) return ++this.baffled <= BAFFLEMENT;
    this.baffled = 0;
    if (this.saveCandidates()) {
      this.fruitless = 0;
      return true;
    }
    // Another thread may have saved the very page between the fault and our look.
    if (++this.fruitless <= PATIENCE) return true;
    this.fruitless = 0;
    this.saveAll();
    return true;
  }

  private isSamePlace(): boolean {
    const { registers, before } = this;
    let same = true;
    for (let i = 0; i < registers.length; i++) {
      if (before[i] === registers[i]) continue;
      before[i] = registers[i] as number;
      same = false;
    }
    return same;
  }

  private saveCandidates(): boolean {
    const { candidates } = this;
    candidates.collectInstruction();
    this.collectVectorIndexed();
    const instruction = candidates.list.count;
    if (this.saveListed(0)) return true;
    candidates.collectDelivery();
    return this.saveListed(instruction);
  }

  /** Gathers and scatters are rare, so the vector registers are read only for them. */
  private collectVectorIndexed(): void {
    const { candidates, xsave } = this;
    if (xsave === undefined || (candidates.flags & OperandFlag.VECTOR_INDEX) === 0) return;
    this.vcpu.getInto('xsave', this.vectors);
    candidates.collectVectorIndexed(this.vectorView, xsave);
  }

  /**
   * Saves listed pages from the index `first` on, but no less likely ones once some of a kind were protected: should
   * those not have been it, the next fault finds them out of the way.
   */
  private saveListed(first: number): boolean {
    const { list } = this.candidates;
    let progress = false;
    for (let i = first; i < list.count; i++) {
      if (progress && list.kinds[i] !== list.kinds[i - 1]) break;
      if (this.savePage(list.pages[i] as Gpa)) progress = true;
    }
    return progress;
  }

  private savePage(page: Gpa): boolean {
    return this.cow.savePage(Math.floor(ramOffsetOf(page) / PAGE_SIZE), CowCounter.cow_faults);
  }

  private saveAll(): void {
    this.cow.state.count(CowCounter.fallbacks, 1);
    const { chunkCount } = this.cow;
    for (let chunk = 0; chunk < chunkCount; chunk++) this.cow.save(chunk, CowCounter.cow_faults);
  }
}
