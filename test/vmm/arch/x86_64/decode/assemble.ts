import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Longer than any instruction; what is left of a slot is filled with int3. */
export const SLOT_BYTES = 32;

/** The machine code of each instruction, at the beginning of a slot of its own. */
export function assemble(instructions: readonly string[], bits: 16 | 32 | 64): Uint8Array[] {
  const folder = mkdtempSync(join(tmpdir(), 'tsvmm-assemble-'));
  try {
    const file = (name: string) => join(folder, name);
    const lines = instructions.map(text => `.balign ${SLOT_BYTES}, 0xcc\n${text}\n`).join('');
    writeFileSync(file('in.s'), `.text\n.code${bits}\n${lines}.balign ${SLOT_BYTES}, 0xcc\n`);
    execFileSync('as', [bits === 64 ? '--64' : '--32', '-o', file('out.o'), file('in.s')]);
    execFileSync('objcopy', ['-O', 'binary', '-j', '.text', file('out.o'), file('out.bin')]);
    const code = new Uint8Array(readFileSync(file('out.bin')));
    return instructions.map((_, i) => code.subarray(i * SLOT_BYTES, (i + 1) * SLOT_BYTES));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
