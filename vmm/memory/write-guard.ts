import type { Hva } from './address.ts';

/**
 * Asked before the VMM writes guest RAM on the guest's behalf (used rings, received frames, disk reads). While a
 * snapshot is being saved, the guard saves the touched pages first and lifts their protection; otherwise it does
 * nothing, at the cost of one comparison.
 */
export interface WriteGuard {
  /** `ramOffset` counts bytes from the start of guest RAM, without the hole below 4 GiB. */
  beforeWrite(ramOffset: number, length: number, address: Hva): void;
}
