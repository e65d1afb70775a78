import { CandidateKind, CandidateList } from '../../vmm/arch/x86_64/candidate-list.ts';
import { DeliveryCandidates } from '../../vmm/arch/x86_64/delivery-candidates.ts';
import { PageWalker } from '../../vmm/arch/x86_64/page-walk.ts';
import { VcpuContext } from '../../vmm/arch/x86_64/vcpu-context.ts';
import type { Machine } from '../../vmm/machine.ts';
import { type Gpa, gpa } from '../../vmm/memory/address.ts';
import type { GuestMemory } from '../../vmm/memory/guest-memory.ts';
import type { VcpuSlab } from '../../vmm/vcpu/slab.ts';

/** MSRs that hold the gpa of a page which KVM writes from the kernel (Linux, Documentation/virt/kvm/x86/msr.rst). */
const WALL_CLOCK = 0x4b564d00;
/** System time, asynchronous page faults, steal time, PV-EOI: bit 0 of these says whether they are on. */
const FIRST_SWITCHED = 0x4b564d01;
const LAST_SWITCHED = 0x4b564d04;

interface EagerVcpu {
  readonly slab: VcpuSlab;
  readonly context: VcpuContext;
  readonly delivery: DeliveryCandidates;
}

/**
 * Finds the pages that must not stay protected when a VM goes on, as a write to them would fail without a word:
 *
 * - those that KVM itself writes: kvmclock, steal time, PV-EOI, asynchronous page faults;
 * - the stacks on which events are delivered, and the descriptor tables. Hardware tells of a fault there as of any
 *   other, but a software KVM, which delivers events itself, makes a triple fault of it, or tries again for ever.
 *
 * Allocates nothing while it runs.
 */
export class EagerSet {
  private readonly memory: GuestMemory;
  private readonly walker: PageWalker;
  private readonly list: CandidateList;
  private readonly vcpus: readonly EagerVcpu[];

  constructor({ memory, slabs }: Pick<Machine, 'memory' | 'slabs'>) {
    this.memory = memory;
    this.walker = new PageWalker(memory);
    this.list = new CandidateList(memory);
    this.vcpus = slabs.map(slab => {
      const context = new VcpuContext(slab.parts.regs, slab.parts.sregs);
      return { slab, context, delivery: new DeliveryCandidates(memory, this.walker, context, this.list) };
    });
  }

  /** Calls `visit` with addresses in RAM, once or more for each page; the slabs of all vCPUs are filled. */
  forEach(visit: (page: Gpa) => void): void {
    const { list, walker } = this;
    for (const { slab, context, delivery } of this.vcpus) {
      slab.forEachMsr((index, low, high) => {
        if (!isWrittenByKvm(index, low, high)) return;
        const address = gpa(((low & ~3) >>> 0) + high * 2 ** 32);
        if (this.memory.contains(address, 1)) visit(address);
      });
      list.clear();
      context.load();
      walker.configure(context.cr0, context.cr3Low, context.cr3High, context.cr4, context.efer);
      delivery.collect();
      for (let i = 0; i < list.count; i++) {
        const kind = list.kinds[i];
        if (kind === CandidateKind.STACK || kind === CandidateKind.DESCRIPTOR) visit(gpa(list.pages[i] ?? 0));
      }
    }
  }
}

function isWrittenByKvm(msr: number, low: number, high: number): boolean {
  if (msr === WALL_CLOCK) return low !== 0 || high !== 0;
  return msr >= FIRST_SWITCHED && msr <= LAST_SWITCHED && (low & 1) !== 0;
}
