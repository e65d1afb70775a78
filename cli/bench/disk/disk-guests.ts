import type { BenchGuests } from '../guests/bench-guests.ts';

/** The name under which the guest reports. */
export const VM = 'vm';
export const DISK_BYTES = 128 * 2 ** 20;

/** One guest with one disk, of which snapshots can be taken while it works. */
export interface DiskGuests extends BenchGuests {
  snapshot(): Promise<void>;
}

/** Starts a guest with a disk that is full of data; `words` are of its command line. */
export type DiskStarter = (words: string) => DiskGuests;
