import type { EmulatedCpu } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';

/** CRC-32C's polynomial, bits reflected: SDM vol. 2, CRC32. */
const POLYNOMIAL = 0x82f6_3b78;

export const checksumInstructions: readonly Emulated[] = [
  { encoding: 'F2 0F 38 F0 /r', name: 'crc32', execute: cpu => accumulate(cpu, 1) },
  { encoding: 'F2 0F 38 F1 /r', name: 'crc32', execute: cpu => accumulate(cpu, cpu.instruction.operandSize) },
];

function accumulate(cpu: EmulatedCpu, bytes: number): void {
  const { reg } = cpu.instruction;
  let source = cpu.readOperand(bytes);
  let crc = Number(cpu.register(reg) & 0xffff_ffffn);
  for (let i = 0; i < bytes; i++, source >>= 8n) {
    crc ^= Number(source & 0xffn);
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : POLYNOMIAL);
  }
  cpu.setRegister(reg, BigInt(crc >>> 0));
}
