import { type EmulatedCpu, fromBytes, toBytes } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';
import { GuestException, NotEmulated, Vector } from '../exception.ts';

/** x87 status word, SDM vol. 1, section 8.1.3, at its place in an XSAVE area. */
const FSW_AT = 2;
const EXCEPTION_SUMMARY = 1 << 7;

/** SDM vol. 2, LDMXCSR, STMXCSR, WAIT/FWAIT. */
export const sseControlInstructions: readonly Emulated[] = [
  { encoding: 'NP 0F AE /2 m', name: 'ldmxcsr', execute: loadMxcsr },
  { encoding: 'NP 0F AE /3 m', name: 'stmxcsr', execute: storeMxcsr },
  { encoding: '9B', name: 'fwait', execute: wait },
];

function loadMxcsr(cpu: EmulatedCpu): void {
  cpu.requireSse();
  const value = Number(fromBytes(cpu.readMemory(4)));
  if ((value & ~cpu.vectors.mxcsrMask) !== 0) throw new GuestException(Vector.GP, 0);
  cpu.vectors.mxcsr = value;
}

function storeMxcsr(cpu: EmulatedCpu): void {
  cpu.requireSse();
  cpu.writeMemory(toBytes(BigInt(cpu.vectors.mxcsr), 4));
}

/** Tells a pending x87 exception, by #MF where CR0.NE is set; the other way, IRQ 13, has died out. */
function wait(cpu: EmulatedCpu): void {
  cpu.requireFpuForWait();
  const status = cpu.vectors.fetch().view.getUint16(FSW_AT, true);
  if ((status & EXCEPTION_SUMMARY) === 0) return;
  if ((cpu.sregs.cr0 & (1n << 5n)) === 0n) throw new NotEmulated('it reports x87 errors by an interrupt');
  throw new GuestException(Vector.MF);
}
