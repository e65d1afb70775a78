import { Flag } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';

/** SMAP's switches, SDM vol. 2, CLAC and STAC: RFLAGS.AC lets the kernel touch user memory. */
export const flagInstructions: readonly Emulated[] = [
  {
    encoding: 'NP 0F 01 CA',
    name: 'clac',
    execute: cpu => {
      cpu.rflags &= ~Flag.AC;
    },
  },
  {
    encoding: 'NP 0F 01 CB',
    name: 'stac',
    execute: cpu => {
      cpu.rflags |= Flag.AC;
    },
  },
];
