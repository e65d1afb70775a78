import { MSR_LSTAR, SystemCallEntry, type SystemCallPages } from '../arch/x86_64/system-call-entry.ts';
import { kvmRun } from '../kvm/layouts.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';

const { offsets } = kvmRun;

const NO_SYSTEM_CALLS =
  "system calls of the guest's programs will not arrive in its kernel, whose page-fault gate or page tables are not as those of Linux";

/** Completes the writes of MSRs that exit (Vm.exitOnMsrWrite()). */
export class MsrWrites {
  private readonly vcpu: Pick<Vcpu, 'shared' | 'setMsrs'>;
  private readonly entry: SystemCallEntry;
  private readonly warn: (message: string) => void;
  private warned = false;

  /** `warn` is told, once, when the kernel is one whose system calls cannot be led to it. */
  constructor(
    vcpu: Pick<Vcpu, 'shared' | 'setMsrs'>,
    memory: GuestMemory,
    pages: SystemCallPages,
    warn: (message: string) => void,
  ) {
    this.warn = warn;
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
    const { 's.regs.sregs': sregs } = kvmRun.at(shared.buffer, shared.byteOffset);
    if (this.entry.install(sregs, data) || this.warned) return;
    this.warned = true;
    this.warn(NO_SYSTEM_CALLS);
  }
}
