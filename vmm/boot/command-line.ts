import { TsvmmError } from '../errors.ts';
import { gpa } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { LowMemory } from './low-memory.ts';

/** What x86 Linux keeps of its command line (COMMAND_LINE_SIZE, less the final zero). */
export const LINUX_CMDLINE_BYTES = 2047;

/** Writes the command line, with its final zero; answers where. Throws TSVMM_E_CONFIG when it is longer than `maximum`. */
export function writeCommandLine(memory: GuestMemory, cmdline: string, maximum_bytes: number): number {
  const text = new TextEncoder().encode(`${cmdline}\0`);
  if (text.length - 1 > maximum_bytes) {
    throw new TsvmmError('TSVMM_E_CONFIG', `the command line is ${text.length - 1} bytes long`, {
      hint: `the kernel takes ${maximum_bytes}, the words that announce devices included`,
    });
  }
  memory.copyIn(gpa(LowMemory.COMMAND_LINE), text);
  return LowMemory.COMMAND_LINE;
}
