import { CandidateKind, CandidateList } from '../arch/x86_64/candidate-list.ts';
import { DeliveryCandidates } from '../arch/x86_64/delivery-candidates.ts';
import { PageWalker } from '../arch/x86_64/page-walk.ts';
import { VcpuContext } from '../arch/x86_64/vcpu-context.ts';
import { type Gpa, gpa, gpaOffset, PAGE_SIZE } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { VcpuSlab } from './slab.ts';

/** MSRs that hold the gpa of a page which KVM writes from the kernel (Linux, Documentation/virt/kvm/x86/msr.rst). */
const WALL_CLOCK = 0x4b564d00;
/** System time, asynchronous page faults, steal time, PV-EOI: bit 0 of these says whether they are on. */
const FIRST_SWITCHED = 0x4b564d01;
const LAST_SWITCHED = 0x4b564d04;
/** The longest of what they point to. */
const LONGEST_AREA = 64;

/**
 * Finds the pages that must not stay protected when a vCPU goes on, as a write to them would fail without a word:
 *
 * - those that KVM itself writes: kvmclock, steal time, PV-EOI, asynchronous page faults;
 * - the stacks on which events are delivered, and the descriptor tables. Hardware tells of a fault there as of any
 *   other, but a software KVM, which delivers events itself, makes a triple fault of it, or tries again for ever.
 *
 * For the vCPU's thread, which does this while the control thread is busy with the rest of the pause. Allocates nothing
 * while it runs.
 */
export class EagerSet {
  private readonly memory: GuestMemory;
  private readonly slab: VcpuSlab;
  private readonly walker: PageWalker;
  private readonly list: CandidateList;
  private readonly context: VcpuContext;
  private readonly delivery: DeliveryCandidates;
  private readonly visitMsr = (index: number, low: number, high: number): void => {
    if (isWrittenByKvm(index, low, high)) this.addArea(gpa(((low & ~3) >>> 0) + high * 2 ** 32));
  };

  constructor(memory: GuestMemory, slab: VcpuSlab) {
    this.memory = memory;
    this.slab = slab;
    this.walker = new PageWalker(memory);
    this.list = new CandidateList(memory);
    this.context = new VcpuContext(slab.parts.regs, slab.parts.sregs);
    this.delivery = new DeliveryCandidates(memory, this.walker, this.context, this.list);
  }

  /** Writes the pages into the slab, which holds the vCPU's state already. */
  collect(): void {
    const { slab, list, walker, context } = this;
    slab.clearEagerPages();
    slab.forEachMsr(this.visitMsr);
    list.clear();
    context.load();
    walker.configure(context.cr0, context.cr3Low, context.cr3High, context.cr4, context.efer);
    this.delivery.collect();
    for (let i = 0; i < list.count; i++) {
      const kind = list.kinds[i];
      const page = list.pages[i] as Gpa;
      if (kind === CandidateKind.DESCRIPTOR) this.addPage(page);
      if (kind !== CandidateKind.STACK) continue;
      this.addPage(page);
      // A stack grows on, by calls that fault as all stores do, until the next event finds it further down.
      if (page >= PAGE_SIZE) this.addPage(gpaOffset(page, -PAGE_SIZE));
    }
  }

  private addArea(address: Gpa): void {
    this.addPage(address);
    this.addPage(gpaOffset(address, LONGEST_AREA - 1));
  }

  private addPage(address: Gpa): void {
    if (this.memory.contains(address, 1)) this.slab.addEagerPage(address);
  }
}

function isWrittenByKvm(msr: number, low: number, high: number): boolean {
  if (msr === WALL_CLOCK) return low !== 0 || high !== 0;
  return msr >= FIRST_SWITCHED && msr <= LAST_SWITCHED && (low & 1) !== 0;
}
