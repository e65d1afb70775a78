import { kvmXcrs } from '../../../../kvm/layouts.ts';
import { Gpr } from '../../decode/cpu-context.ts';
import type { EmulatedCpu } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';
import { GuestException, Vector } from '../exception.ts';

const CR4_OSXSAVE = 1n << 18n;
/** struct kvm_xcr: index, reserved, value. */
const VALUE_AT = 8;

/** SDM vol. 2, XGETBV and XSETBV. */
export const extendedControlInstructions: readonly Emulated[] = [
  { encoding: 'NP 0F 01 D0', name: 'xgetbv', execute: get },
  { encoding: 'NP 0F 01 D1', name: 'xsetbv', execute: set },
];

/** KVM has this one register only, and lists it first. */
export function readXcr0(cpu: EmulatedCpu): bigint {
  const { xcrs } = cpu.vcpu.get('xcrs');
  return new DataView(xcrs.buffer, xcrs.byteOffset).getBigUint64(VALUE_AT, true);
}

const selected = (cpu: EmulatedCpu): number => Number(cpu.register(Gpr.RCX) & 0xffff_ffffn);

function requireEnabled(cpu: EmulatedCpu): void {
  if ((cpu.sregs.cr4 & CR4_OSXSAVE) === 0n) throw new GuestException(Vector.UD);
}

function get(cpu: EmulatedCpu): void {
  requireEnabled(cpu);
  const index = selected(cpu);
  if (index > 1) throw new GuestException(Vector.GP, 0);
  const xcr0 = readXcr0(cpu);
  // XCR0 itself, or which of its components are not in their initial state: SDM vol. 1, section 13.6.
  cpu.edxEax = index === 0 ? xcr0 : xcr0 & BigInt(cpu.vectors.fetch().inUse);
}

function set(cpu: EmulatedCpu): void {
  requireEnabled(cpu);
  if (selected(cpu) !== 0) throw new GuestException(Vector.GP, 0);
  const state = kvmXcrs.allocate();
  state.nr_xcrs = 1;
  new DataView(state.xcrs.buffer, state.xcrs.byteOffset).setBigUint64(VALUE_AT, cpu.edxEax, true);
  try {
    cpu.vcpu.set('xcrs', state);
  } catch {
    // KVM refuses what the processor would: combinations that do not exist, or components that it has not.
    throw new GuestException(Vector.GP, 0);
  }
}
