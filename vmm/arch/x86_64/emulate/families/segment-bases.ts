import type { EmulatedCpu } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';
import { GuestException, Vector } from '../exception.ts';

const CR4_FSGSBASE = 1n << 16n;
/** SDM vol. 4, table 2-2. */
const Msr = {
  FS_BASE: 0xc0000100,
  GS_BASE: 0xc0000101,
  KERNEL_GS_BASE: 0xc0000102,
  TSC_AUX: 0xc0000103,
} as const;

/** Bases of FS and GS without WRMSR: SDM vol. 2, RDFSBASE, WRFSBASE, SWAPGS, RDPID. */
export const segmentBaseInstructions: readonly Emulated[] = [
  { encoding: 'F3 0F AE /0 r', name: 'rdfsbase', execute: cpu => readBase(cpu, Msr.FS_BASE) },
  { encoding: 'F3 0F AE /1 r', name: 'rdgsbase', execute: cpu => readBase(cpu, Msr.GS_BASE) },
  { encoding: 'F3 0F AE /2 r', name: 'wrfsbase', execute: cpu => writeBase(cpu, Msr.FS_BASE) },
  { encoding: 'F3 0F AE /3 r', name: 'wrgsbase', execute: cpu => writeBase(cpu, Msr.GS_BASE) },
  { encoding: '0F 01 F8', name: 'swapgs', execute: swapGs },
  {
    encoding: 'F3 0F C7 /7 r',
    name: 'rdpid',
    execute: cpu => cpu.setRegister(cpu.instruction.rm, readMsr(cpu, Msr.TSC_AUX) & 0xffff_ffffn),
  },
];

const readMsr = (cpu: EmulatedCpu, index: number): bigint => cpu.vcpu.getMsrs([index])[0]?.data ?? 0n;

function requireBases(cpu: EmulatedCpu): void {
  if ((cpu.sregs.cr4 & CR4_FSGSBASE) === 0n) throw new GuestException(Vector.UD);
}

function readBase(cpu: EmulatedCpu, index: number): void {
  requireBases(cpu);
  const { rm, wide } = cpu.instruction;
  cpu.setRegisterPart(rm, wide === 1 ? 8 : 4, readMsr(cpu, index));
}

function writeBase(cpu: EmulatedCpu, index: number): void {
  requireBases(cpu);
  const { rm, wide } = cpu.instruction;
  const base = BigInt.asUintN(wide === 1 ? 64 : 32, cpu.register(rm));
  if (!cpu.memory.paging.isCanonical(base)) throw new GuestException(Vector.GP, 0);
  cpu.vcpu.setMsrs([{ index, data: base }]);
}

function swapGs(cpu: EmulatedCpu): void {
  const [gs, kernelGs] = cpu.vcpu.getMsrs([Msr.GS_BASE, Msr.KERNEL_GS_BASE]);
  cpu.vcpu.setMsrs([
    { index: Msr.GS_BASE, data: kernelGs?.data ?? 0n },
    { index: Msr.KERNEL_GS_BASE, data: gs?.data ?? 0n },
  ]);
}
