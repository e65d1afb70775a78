import { randomFillSync } from 'node:crypto';
import { ARITHMETIC_FLAGS, type EmulatedCpu, Flag, fromBytes } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';

/**
 * SDM vol. 2, RDRAND and RDSEED: CF says that there was a number, the other flags are cleared. 66 is the operand's size
 * here; with F3 they are SENDUIPI and RDPID.
 */
export const randomInstructions: readonly Emulated[] = [
  { encoding: 'NP 0F C7 /6 r', name: 'rdrand', execute: draw },
  { encoding: '66 0F C7 /6 r', name: 'rdrand', execute: draw },
  { encoding: 'NP 0F C7 /7 r', name: 'rdseed', execute: draw },
  { encoding: '66 0F C7 /7 r', name: 'rdseed', execute: draw },
];

function draw(cpu: EmulatedCpu): void {
  const { operandSize, rm } = cpu.instruction;
  cpu.setRegisterPart(rm, operandSize, fromBytes(randomFillSync(new Uint8Array(operandSize))));
  cpu.rflags = (cpu.rflags & ~ARITHMETIC_FLAGS) | Flag.CF;
}
