import type { ViewOf } from '../../ffi/struct.ts';
import type { setupHeader } from './boot-params.ts';

/** A Linux kernel in RAM, ready to be entered by the 64-bit boot protocol. */
export interface LinuxKernel {
  /** Physical address of the first 64-bit instruction. */
  readonly entry: number;
  /** End of what the kernel needs before it can look at its memory map. */
  readonly end: number;
  /** As the kernel's file has it; what the boot loader fills in is still to come. */
  readonly header: ViewOf<typeof setupHeader>;
}
