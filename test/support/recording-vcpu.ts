import { type kvmRegs, kvmSregs } from '../../vmm/kvm/layouts.ts';
import type { Vcpu } from '../../vmm/kvm/vcpu.ts';

/** A vCPU that keeps what is set. */
export function recordingVcpu() {
  const set: Record<string, unknown> = {};
  const vcpu = {
    get: () => kvmSregs.allocate(),
    set: (name: string, state: unknown) => {
      set[name] = state;
    },
  } as unknown as Vcpu;
  return {
    vcpu,
    regs: () => set.regs as ReturnType<typeof kvmRegs.at>,
    sregs: () => set.sregs as ReturnType<typeof kvmSregs.at>,
  };
}
