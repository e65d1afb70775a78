import type { Hva } from '../../vmm/memory/address.ts';
import { MAXIMUM_SLOTS } from '../../vmm/memory/cow-state.ts';
import { allocateNative, type NativeMemory } from '../../vmm/memory/native.ts';
import { availableMemory } from '../../vmm/memory/ram.ts';

/** At most this share of the host's available memory holds copies. */
const MEMORY_SHARE = 8;
const MINIMUM_SLOTS = 4;

/** The buffers into which chunks are copied before their first change. */
export interface CopyPool {
  readonly address: Hva;
  readonly chunkSize: number;
  readonly slotCount: number;
  free(): void;
}

/** Room for the copies of a VM with `ramLength` bytes: enough for a burst, within what the host can spare. */
export function allocateCopyPool(ramLength: number, chunkSize: number): CopyPool {
  const affordable = Math.floor(availableMemory() / MEMORY_SHARE / chunkSize);
  const slotCount = Math.max(
    MINIMUM_SLOTS,
    Math.min(MAXIMUM_SLOTS, affordable, Math.ceil(ramLength / chunkSize)),
  );
  const memory: NativeMemory = allocateNative(slotCount * chunkSize, { huge: true });
  return { address: memory.address, chunkSize, slotCount, free: () => memory.free() };
}
