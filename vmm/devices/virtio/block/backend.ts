import type { Segments } from './segments.ts';

/**
 * What a BlockBackend's operation answers: 0 when it is done, -errno when it failed, or WOULD_BLOCK when nothing was
 * done because the host's disk has to be waited for: then the caller leaves the device's lock, calls wait() and asks again.
 */
export type BlockResult = number;
export const WOULD_BLOCK = 1;

/**
 * Where a block device's sectors are. Offsets and lengths are in bytes, multiples of 512, and inside of the capacity:
 * the device has checked them. One thread uses it; no operation is under way while another one starts.
 *
 * The device's lock must not be held while the host's disk works, as a snapshot waits for the lock: hence WOULD_BLOCK.
 */
export interface BlockBackend {
  /** The device's lock was just taken: whatever a snapshot changed meanwhile comes into force. */
  enter(): void;
  /** Fills `data` from `offset` on. */
  read(offset: number, data: Segments): BlockResult;
  /** Stores `data` from `offset` on; stable after the next flush. Never answers WOULD_BLOCK. */
  write(offset: number, data: Segments): BlockResult;
  /** Done when every write, discard and zeroing that was done before survives a crash. */
  flush(): BlockResult;
  /** The sectors' content is no longer needed; what they read as afterwards is free, but does not change by itself. */
  discard(offset: number, length: number): BlockResult;
  /** The sectors read as zeros from now on. */
  writeZeroes(offset: number, length: number): BlockResult;
  /** A read of this range comes soon. */
  prefetch(offset: number, length: number): void;
  /** Does what the last WOULD_BLOCK was about; may take long. Its failure is told by the operation asked again. */
  wait(): void;
}
