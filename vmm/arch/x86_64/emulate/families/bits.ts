import { ARITHMETIC_FLAGS, type EmulatedCpu, Flag } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';

/** Counting instructions: SDM vol. 2, POPCNT, LZCNT, TZCNT; flags they leave undefined are cleared. */
export const bitInstructions: readonly Emulated[] = [
  { encoding: 'F3 0F B8 /r', name: 'popcnt', execute: cpu => count(cpu, popcnt, popcntFlags) },
  { encoding: 'F3 0F BC /r', name: 'tzcnt', execute: cpu => count(cpu, tzcnt, zeroCountFlags) },
  { encoding: 'F3 0F BD /r', name: 'lzcnt', execute: cpu => count(cpu, lzcnt, zeroCountFlags) },
];

type Count = (source: bigint, bits: number) => number;
type Flags = (source: bigint, result: number) => number;

function count(cpu: EmulatedCpu, counted: Count, flags: Flags): void {
  const { operandSize, reg } = cpu.instruction;
  const source = cpu.readOperand(operandSize);
  const result = counted(source, 8 * operandSize);
  cpu.setRegisterPart(reg, operandSize, BigInt(result));
  cpu.rflags = (cpu.rflags & ~ARITHMETIC_FLAGS) | flags(source, result);
}

const popcnt: Count = source => digits(source).replaceAll('0', '').length;
const tzcnt: Count = (source, bits) => (source === 0n ? bits : digits(source & -source).length - 1);
const lzcnt: Count = (source, bits) => (source === 0n ? bits : bits - digits(source).length);
const digits = (value: bigint): string => value.toString(2);

/** ZF for a source of 0, the others cleared. */
const popcntFlags: Flags = source => (source === 0n ? Flag.ZF : 0);
/** CF for a source of 0, ZF for a result of 0. */
const zeroCountFlags: Flags = (source, result) =>
  (source === 0n ? Flag.CF : 0) | (result === 0 ? Flag.ZF : 0);
