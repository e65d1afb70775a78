import type { Emulated } from '../encoding.ts';
import { requireAligned } from './sse-move.ts';

type Combine = (destination: number, source: number) => number;

const and: Combine = (a, b) => a & b;
const andNot: Combine = (a, b) => ~a & b;
const or: Combine = (a, b) => a | b;
const xor: Combine = (a, b) => a ^ b;

/** Bitwise instructions of SSE and SSE2, legacy encodings: SDM vol. 2, PAND, ANDPS and so on. */
export const sseLogicInstructions: readonly Emulated[] = [
  ...forms('and', 'DB', '54', and),
  ...forms('andn', 'DF', '55', andNot),
  ...forms('or', 'EB', '56', or),
  ...forms('xor', 'EF', '57', xor),
];

/** The integer form and those of packed single and double: the same bits. */
function forms(name: string, integer: string, floating: string, combine: Combine): Emulated[] {
  const execute: Emulated['execute'] = cpu => {
    cpu.requireSse();
    requireAligned(cpu);
    const source = cpu.readVector(16);
    const { reg } = cpu.instruction;
    const value = cpu.vectors.xmm(reg).map((byte, i) => combine(byte, source[i] as number));
    cpu.vectors.setXmm(reg, value);
  };
  return [
    { encoding: `66 0F ${integer} /r`, name: `p${name}`, execute },
    { encoding: `NP 0F ${floating} /r`, name: `${name}ps`, execute },
    { encoding: `66 0F ${floating} /r`, name: `${name}pd`, execute },
  ];
}
