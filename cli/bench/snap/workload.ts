import { MIB } from '../../../vmm/memory/address.ts';
import type { GuestOptions } from './tsvmm-subject.ts';

/** The guest's own memory and this much more is not rewritten. */
export const SPARED_BYTES = 32 * MIB;
const STAT_MS = 20;
/** So often that little of the time until a line is the guest's own. */
export const RESTORE_STAT_MS = 5;

/** A guest that rewrites its memory over and over, at full rate. */
export const dirtyGuest = (image: string, memory_bytes: number, stat_ms = STAT_MS): GuestOptions => ({
  image,
  memory_bytes,
  cmdline: `dirty size=${memory_bytes - SPARED_BYTES} stat=${stat_ms}`,
});

/** The same as a VM that `tsvmm restore` knows, and that tells of itself more often. */
export const restoredGuest = (image: string, memory_bytes: number): GuestOptions => ({
  ...dirtyGuest(image, memory_bytes, RESTORE_STAT_MS),
  asInCluster: true,
});
