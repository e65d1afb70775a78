import { MSR_LSTAR, SystemCallEntry, type SystemCallPages } from '../arch/x86_64/system-call-entry.ts';
import { kvmRun } from '../kvm/layouts.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';

const { offsets } = kvmRun;

/** Completes the writes of MSRs that exit (Vm.exitOnMsrWrite()). */
export class MsrWrites {
  private readonly vcpu: Vcpu;
  private readonly entry: SystemCallEntry;

  constructor(vcpu: Vcpu, memory: GuestMemory, pages: SystemCallPages) {
    this.vcpu = vcpu;
    this.entry = new SystemCallEntry(memory, pages);
  }

  complete(): void {
    const { shared } = this.vcpu;
    const index = shared.getUint32(offsets['msr.index'], true);
    const data = shared.getBigUint64(offsets['msr.data'], true);
    // A filter holds for the guest alone. What the processor refuses is a #GP to it.
    const set = this.vcpu.setMsrs([{ index, data }]) === 1;
    shared.setUint8(offsets['msr.error'], set ? 0 : 1);
    if (!set || index !== MSR_LSTAR) return;
    this.entry.install(kvmRun.at(shared.buffer, shared.byteOffset)['s.regs.sregs'], data);
  }
}
