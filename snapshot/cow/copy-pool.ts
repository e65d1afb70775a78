import { TsvmmError } from '../../vmm/errors.ts';
import { MADV, madvise } from '../../vmm/ffi/libc.ts';
import { type Hva, hvaOffset } from '../../vmm/memory/address.ts';
import { MAXIMUM_SLOTS } from '../../vmm/memory/cow-state.ts';
import { EagerPages } from '../../vmm/memory/eager-pages.ts';
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
  /** After the buffers: EagerPages.BYTES. */
  readonly eagerAddress: Hva;
}

/**
 * Lends the buffers for one snapshot after another, the same memory as long as it is large enough: a writer that gets
 * memory which is new to the process waits longer for the kernel to find and zero it than for the copy. In between the
 * kernel may take it back when it needs memory (MADV_FREE), and counts it as available.
 */
export class CopyPools {
  private memory: NativeMemory | undefined;
  private isLent = false;

  /**
   * Room for the copies of a VM with `ramLength` bytes: enough for a burst, within what the host can spare. Throws
   * TSVMM_E_INTERNAL while the last pool has not been given back.
   */
  take(ramLength: number, chunkSize: number): CopyPool {
    if (this.isLent) throw new TsvmmError('TSVMM_E_INTERNAL', 'one snapshot after another has buffers');
    const affordable = Math.floor(availableMemory() / MEMORY_SHARE / chunkSize);
    const slotCount = Math.max(
      MINIMUM_SLOTS,
      Math.min(MAXIMUM_SLOTS, affordable, Math.ceil(ramLength / chunkSize)),
    );
    const { address } = this.reserve(slotCount * chunkSize + EagerPages.BYTES);
    this.isLent = true;
    return { address, chunkSize, slotCount, eagerAddress: hvaOffset(address, slotCount * chunkSize) };
  }

  /** Nobody reads or writes the buffers any more. Idempotent. */
  giveBack(): void {
    if (!this.isLent || this.memory === undefined) return;
    this.isLent = false;
    madvise(this.memory.address, this.memory.length, MADV.FREE);
  }

  /** Gives the memory up for good. */
  close(): void {
    this.memory?.free();
    this.memory = undefined;
    this.isLent = false;
  }

  private reserve(length: number): NativeMemory {
    if (this.memory === undefined || this.memory.length < length) {
      this.close();
      this.memory = allocateNative(length, { huge: true });
    }
    return this.memory;
  }
}
