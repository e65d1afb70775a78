import { backend } from '../ffi/index.ts';
import { GIB, type Hva, hva, MIB } from './address.ts';

/** Windows begin at multiples of this; each is longer by what may be looked at across its end. */
const WINDOW_BYTES = GIB;
const MAXIMUM_LOOK = 64 * MIB;
const windows = new Map<number, ArrayBuffer>();

/**
 * The `length` bytes at an address, at most 64 MiB. As bytesAt(), but made for those who look at very many places: to make
 * a view of memory costs 65 us, so there is one for each GiB of addresses that anybody of this thread has looked at.
 */
export function look(address: Hva, length: number): Uint8Array {
  const index = Math.floor(address / WINDOW_BYTES);
  let window = windows.get(index);
  if (window === undefined) {
    window = backend.view(hva(index * WINDOW_BYTES), WINDOW_BYTES + MAXIMUM_LOOK);
    windows.set(index, window);
  }
  return new Uint8Array(window, address - index * WINDOW_BYTES, length);
}
