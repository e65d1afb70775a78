import { TsvmmError } from '../errors.ts';
import { gpa } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { LowMemory } from './low-memory.ts';

/** What x86 Linux keeps of its command line (COMMAND_LINE_SIZE, less the final zero). */
export const LINUX_CMDLINE_BYTES = 2047;

/** A word as Linux reads it: blanks between double quotes belong to it (next_arg() of lib/cmdline.c). */
const WORD = /(?:"[^"]*"?|[^\s"])+/g;

/**
 * The words that a kernel reads, and those that it leaves to init: from a lone "--" on
 * (Documentation/admin-guide/kernel-parameters.rst; unikernels do likewise).
 */
export function splitCommandLine(cmdline: string): { readonly kernel: string; readonly init: string } {
  for (const { 0: word, index } of cmdline.matchAll(WORD))
    if (word === '--') return { kernel: cmdline.slice(0, index).trimEnd(), init: cmdline.slice(index) };
  return { kernel: cmdline, init: '' };
}

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
