import type { Kvm } from '../../kvm/kvm.ts';
import type { Vcpu } from '../../kvm/vcpu.ts';

const Msr = {
  KVM_WALL_CLOCK_OLD: 0x11,
  KVM_SYSTEM_TIME_OLD: 0x12,
  TSC_DEADLINE: 0x6e0,
  XSS: 0xda0,
  TSC_AUX: 0xc0000103,
} as const;

/** State that KVM_GET_MSR_INDEX_LIST leaves out. */
const unlisted = [Msr.TSC_DEADLINE, Msr.TSC_AUX, Msr.XSS];
/** Aliases of the new kvmclock MSRs; setting them would take the clock back to the old interface. */
const excluded: readonly number[] = [Msr.KVM_WALL_CLOCK_OLD, Msr.KVM_SYSTEM_TIME_OLD];

const known = new WeakMap<Kvm, readonly number[]>();

/**
 * The MSRs that make up a vCPU's state on this host: those that can be read. Found once, on a vCPU that does not run
 * yet, as reading stops at the first MSR that the host refuses.
 */
export function stateMsrs(kvm: Kvm, vcpu: Vcpu): readonly number[] {
  const cached = known.get(kvm);
  if (cached !== undefined) return cached;
  const wanted = [...new Set([...kvm.msrIndexList(), ...unlisted])].filter(
    index => !excluded.includes(index),
  );
  const readable: number[] = [];
  for (let rest = wanted; rest.length > 0; ) {
    const count = vcpu.getMsrs(rest).length;
    readable.push(...rest.slice(0, count));
    rest = rest.slice(count + 1);
  }
  known.set(kvm, readable);
  return readable;
}
