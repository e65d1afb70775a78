import { MIB } from '../../../vmm/memory/address.ts';
import type { GuestOptions } from './tsvmm-subject.ts';

/** The guest's own memory and this much more is not rewritten. */
export const SPARED_BYTES = 32 * MIB;
const STAT_MS = 20;

/** A guest that rewrites its memory over and over, at full rate. */
export const dirtyGuest = (image: string, memory_bytes: number): GuestOptions => ({
  image,
  memory_bytes,
  cmdline: `dirty size=${memory_bytes - SPARED_BYTES} stat=${STAT_MS}`,
});
