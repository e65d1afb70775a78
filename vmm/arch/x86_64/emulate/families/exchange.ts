import { Gpr } from '../../decode/cpu-context.ts';
import { type EmulatedCpu, Flag, fromBytes, toBytes } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';
import { GuestException, Vector } from '../exception.ts';

/**
 * Compare and exchange of two registers: SDM vol. 2, CMPXCHG8B/CMPXCHG16B. KVM executes CMPXCHG8B itself, atomically, and
 * only gives up on RAM that a snapshot has protected; it succeeds after that was lifted (EmulationFailures).
 */
export const exchangeInstructions: readonly Emulated[] = [
  { encoding: '0F C7 /1 m W1', name: 'cmpxchg16b', execute: compareExchange },
];

const BYTES = 16;

/**
 * One step, with or without a lock prefix, to all other CMPXCHG16B of kernel code: no vCPU has KVM execute one, all come
 * here and take the VM's lock. Not to other accesses, which nothing here can hold off: what another vCPU stores to one of
 * the halves in between, or user code exchanges natively, may be overwritten, and one half be seen before the other.
 */
function compareExchange(cpu: EmulatedCpu): void {
  const pair = (high: number, low: number): bigint => (cpu.register(high) << 64n) | cpu.register(low);
  if ((cpu.operandAddress & 15n) !== 0n) throw new GuestException(Vector.GP, 0);
  cpu.exclusion.acquire();
  try {
    // It writes in any case: what was there, if that differs (SDM). So the page must be writable.
    cpu.memory.checkWrite(cpu.operandAddress, BYTES);
    const present = fromBytes(cpu.readMemory(BYTES));
    if (present === pair(Gpr.RDX, Gpr.RAX)) {
      cpu.writeMemory(toBytes(pair(Gpr.RCX, Gpr.RBX), BYTES));
      cpu.rflags |= Flag.ZF;
    } else {
      cpu.setRegister(Gpr.RAX, BigInt.asUintN(64, present));
      cpu.setRegister(Gpr.RDX, present >> 64n);
      cpu.rflags &= ~Flag.ZF;
    }
  } finally {
    cpu.exclusion.release();
  }
}
