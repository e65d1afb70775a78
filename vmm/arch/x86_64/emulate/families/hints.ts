import type { Emulated } from '../encoding.ts';

const nothing = (): void => {};

/**
 * Instructions that change nothing a guest could see, as its memory is always coherent and we serialize by being here:
 * SDM vol. 2, and APM vol. 3 for PREFETCHW.
 */
export const hintInstructions: readonly Emulated[] = [
  { encoding: 'NP 0F 01 E8', name: 'serialize', execute: nothing },
  { encoding: '0F 08', name: 'invd', execute: nothing },
  { encoding: '0F 09', name: 'wbinvd', execute: nothing },
  { encoding: '0F 0D /r', name: 'prefetchw', execute: nothing },
  { encoding: '0F 18 /r', name: 'prefetch', execute: nothing },
  { encoding: '0F 1E /r', name: 'nop, endbr', execute: nothing },
  { encoding: '0F 1F /r', name: 'nop', execute: nothing },
  { encoding: 'NP 0F AE /5 r', name: 'lfence', execute: nothing },
  { encoding: 'NP 0F AE /6 r', name: 'mfence', execute: nothing },
  { encoding: 'NP 0F AE /7 r', name: 'sfence', execute: nothing },
  { encoding: 'NP 0F AE /7 m', name: 'clflush', execute: nothing },
  { encoding: '66 0F AE /7 m', name: 'clflushopt', execute: nothing },
  { encoding: '66 0F AE /6 m', name: 'clwb', execute: nothing },
  { encoding: '0F 1C /0 m', name: 'cldemote', execute: nothing },
  { encoding: 'F3 90', name: 'pause', execute: nothing },
];
