import { Gpr } from '../../decode/cpu-context.ts';
import { type EmulatedCpu, Flag, fromBytes, toBytes } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';
import { GuestException, Vector } from '../exception.ts';

/** Compare and exchange of two registers' width: SDM vol. 2, CMPXCHG8B/CMPXCHG16B. */
export const exchangeInstructions: readonly Emulated[] = [
  { encoding: '0F C7 /1 m W1', name: 'cmpxchg16b', execute: cpu => compareExchange(cpu, 16) },
  { encoding: '0F C7 /1 m W0', name: 'cmpxchg8b', execute: cpu => compareExchange(cpu, 8) },
];

/**
 * Other vCPUs get at such an operand by the same instruction, which comes here too: the VM's lock makes it one step,
 * with or without a lock prefix.
 */
function compareExchange(cpu: EmulatedCpu, bytes: number): void {
  const half = 4 * bytes;
  const pair = (high: number, low: number): bigint =>
    (BigInt.asUintN(half, cpu.register(high)) << BigInt(half)) | BigInt.asUintN(half, cpu.register(low));
  if (bytes === 16 && (cpu.operandAddress & 15n) !== 0n) throw new GuestException(Vector.GP, 0);
  cpu.exclusion.acquire();
  try {
    // It writes in any case: what was there, if that differs (SDM). So the page must be writable.
    cpu.memory.checkWrite(cpu.operandAddress, bytes);
    const present = fromBytes(cpu.readMemory(bytes));
    if (present === pair(Gpr.RDX, Gpr.RAX)) {
      cpu.writeMemory(toBytes(pair(Gpr.RCX, Gpr.RBX), bytes));
      cpu.rflags |= Flag.ZF;
    } else {
      cpu.setRegister(Gpr.RAX, BigInt.asUintN(half, present));
      cpu.setRegister(Gpr.RDX, present >> BigInt(half));
      cpu.rflags &= ~Flag.ZF;
    }
  } finally {
    cpu.exclusion.release();
  }
}
