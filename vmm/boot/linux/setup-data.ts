import { randomFillSync } from 'node:crypto';
import { struct, u32, usize } from '../../ffi/struct.ts';
import { gpa } from '../../memory/address.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { LowMemory } from '../low-memory.ts';

/** struct setup_data: what its type says follows it (boot.rst, "setup_data"). */
export const setupData = struct('setup_data', { next: usize, type: u32, len: u32 });
/** Linux 6.0 takes it as entropy, as far as it trusts its boot loader, and overwrites it; older ones pass it over. */
export const SETUP_RNG_SEED = 9;
/** That of the kernel's own random generator (BLAKE2S_HASH_SIZE), as QEMU gives it. */
export const SEED_BYTES = 32;

/** Writes the list of what the zero page has no fields for, a seed alone; answers where it begins. */
export function writeSetupData(memory: GuestMemory): number {
  const seed = setupData.allocate(SEED_BYTES);
  seed.type = SETUP_RNG_SEED;
  seed.len = SEED_BYTES;
  randomFillSync(seed.bytes, setupData.size);
  memory.copyIn(gpa(LowMemory.SETUP_DATA), seed.bytes);
  return LowMemory.SETUP_DATA;
}
