import { type EmulatedCpu, toBytes } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';
import { GuestException, Vector } from '../exception.ts';

/** Moves of SSE and SSE2, legacy encodings (they leave the upper halves of YMM registers alone): SDM vol. 2. */
export const sseMoveInstructions: readonly Emulated[] = [
  { encoding: '66 0F 6E /r', name: 'movd, movq', execute: loadGeneral },
  { encoding: '66 0F 7E /r', name: 'movd, movq', execute: storeGeneral },
  { encoding: 'F3 0F 7E /r', name: 'movq', execute: cpu => loadLow(cpu, 8, true) },
  { encoding: '66 0F D6 /r', name: 'movq', execute: cpu => storeLow(cpu, 8, true) },
  ...wholeMoves('movdqa', '66 0F 6F', '66 0F 7F', true),
  ...wholeMoves('movdqu', 'F3 0F 6F', 'F3 0F 7F', false),
  ...wholeMoves('movaps', 'NP 0F 28', 'NP 0F 29', true),
  ...wholeMoves('movapd', '66 0F 28', '66 0F 29', true),
  ...wholeMoves('movups', 'NP 0F 10', 'NP 0F 11', false),
  ...wholeMoves('movupd', '66 0F 10', '66 0F 11', false),
  { encoding: 'NP 0F 2B /r m', name: 'movntps', execute: cpu => store(cpu, true) },
  { encoding: '66 0F 2B /r m', name: 'movntpd', execute: cpu => store(cpu, true) },
  { encoding: '66 0F E7 /r m', name: 'movntdq', execute: cpu => store(cpu, true) },
  { encoding: '66 0F 38 2A /r m', name: 'movntdqa', execute: cpu => load(cpu, true) },
  { encoding: 'F2 0F F0 /r m', name: 'lddqu', execute: cpu => load(cpu, false) },
  { encoding: 'F3 0F 10 /r', name: 'movss', execute: cpu => loadLow(cpu, 4, false) },
  { encoding: 'F3 0F 11 /r', name: 'movss', execute: cpu => storeLow(cpu, 4, false) },
  { encoding: 'F2 0F 10 /r', name: 'movsd', execute: cpu => loadLow(cpu, 8, false) },
  { encoding: 'F2 0F 11 /r', name: 'movsd', execute: cpu => storeLow(cpu, 8, false) },
];

function wholeMoves(name: string, loading: string, storing: string, aligned: boolean): Emulated[] {
  return [
    { encoding: `${loading} /r`, name, execute: cpu => load(cpu, aligned) },
    { encoding: `${storing} /r`, name, execute: cpu => store(cpu, aligned) },
  ];
}

/** SDM vol. 2, table 2-21: operands of 16 bytes are aligned unless the instruction is for unaligned ones. */
export function requireAligned(cpu: EmulatedCpu): void {
  if (cpu.instruction.mod !== 3 && (cpu.operandAddress & 15n) !== 0n) throw new GuestException(Vector.GP, 0);
}

function load(cpu: EmulatedCpu, aligned: boolean): void {
  cpu.requireSse();
  if (aligned) requireAligned(cpu);
  cpu.vectors.setXmm(cpu.instruction.reg, cpu.readVector(16));
}

function store(cpu: EmulatedCpu, aligned: boolean): void {
  cpu.requireSse();
  if (aligned) requireAligned(cpu);
  const { mod, reg, rm } = cpu.instruction;
  const value = cpu.vectors.xmm(reg);
  if (mod === 3) cpu.vectors.setXmm(rm, value);
  else cpu.writeMemory(value);
}

/** `clears`: the rest of the register is cleared also when the source is a register. */
function loadLow(cpu: EmulatedCpu, bytes: number, clears: boolean): void {
  cpu.requireSse();
  const { mod, reg } = cpu.instruction;
  const low = cpu.readVector(bytes);
  const value = clears || mod !== 3 ? new Uint8Array(16) : cpu.vectors.xmm(reg).slice();
  value.set(low);
  cpu.vectors.setXmm(reg, value);
}

function storeLow(cpu: EmulatedCpu, bytes: number, clears: boolean): void {
  cpu.requireSse();
  const { mod, reg, rm } = cpu.instruction;
  const low = cpu.vectors.xmm(reg).slice(0, bytes);
  if (mod !== 3) {
    cpu.writeMemory(low);
    return;
  }
  const value = clears ? new Uint8Array(16) : cpu.vectors.xmm(rm).slice();
  value.set(low);
  cpu.vectors.setXmm(rm, value);
}

const generalBytes = (cpu: EmulatedCpu): number => (cpu.instruction.wide === 1 ? 8 : 4);

function loadGeneral(cpu: EmulatedCpu): void {
  cpu.requireSse();
  cpu.vectors.setXmm(cpu.instruction.reg, toBytes(cpu.readOperand(generalBytes(cpu)), 16));
}

function storeGeneral(cpu: EmulatedCpu): void {
  cpu.requireSse();
  const bytes = generalBytes(cpu);
  const value = cpu.vectors.xmm(cpu.instruction.reg).slice(0, bytes);
  cpu.writeOperand(
    bytes,
    value.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n),
  );
}
