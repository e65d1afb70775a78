import { type EmulatedCpu, fromBytes } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';
import { GuestException, Vector } from '../exception.ts';

/** SDM vol. 2, INVPCID: individual address, single context, all with globals, all without. */
const LAST_TYPE = 3n;
const DESCRIPTOR_BYTES = 16;
const PAGE = 0x1000n;

export const translationInstructions: readonly Emulated[] = [
  { encoding: '66 0F 38 82 /r m', name: 'invpcid', execute: invalidate },
];

/** Forgets all translations, which is more than any of the types ask for: KVM does so when CR3 changes from outside. */
function invalidate(cpu: EmulatedCpu): void {
  const type = cpu.register(cpu.instruction.reg);
  const descriptor = fromBytes(cpu.readMemory(DESCRIPTOR_BYTES));
  const reservedBits = (descriptor >> 12n) & ((1n << 52n) - 1n);
  const linear = descriptor >> 64n;
  if (type > LAST_TYPE || reservedBits !== 0n || (type === 0n && !cpu.memory.paging.isCanonical(linear)))
    throw new GuestException(Vector.GP, 0);
  const { sregs, vcpu } = cpu;
  const { cr3 } = sregs;
  sregs.cr3 = cr3 ^ PAGE;
  vcpu.set('sregs', sregs);
  sregs.cr3 = cr3;
  vcpu.set('sregs', sregs);
}
