import { type Gpa, gpaOffset, PAGE_SIZE } from '../../memory/address.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { PageWalker } from './page-walk.ts';

/** What reading through page tables needs of guest memory. */
export type LinearSource = Pick<GuestMemory, 'contains' | 'readU8' | 'readU32'>;

/** Told after each walk of the page tables, successful or not. */
export type WalkObserver = (walker: PageWalker) => void;

/**
 * Copies `count` bytes from the linear address with these halves, as far as it is mapped to RAM; returns how many.
 * Allocates nothing.
 */
export function readLinear(
  memory: LinearSource,
  walker: PageWalker,
  low: number,
  high: number,
  count: number,
  into: DataView,
  observe: WalkObserver,
): number {
  let done = 0;
  let addressLow = low | 0;
  let addressHigh = high | 0;
  while (done < count) {
    const mapped = walker.walk(addressLow, addressHigh);
    observe(walker);
    const chunk = Math.min(count - done, PAGE_SIZE - (addressLow & (PAGE_SIZE - 1)));
    if (!mapped || !memory.contains(walker.physical, chunk)) return done;
    copyOut(memory, walker.physical, chunk, into, done);
    done += chunk;
    const next = (addressLow >>> 0) + chunk;
    addressLow = next | 0;
    if (next > 0xffff_ffff) addressHigh = (addressHigh + 1) | 0;
  }
  return done;
}

function copyOut(memory: LinearSource, from: Gpa, count: number, into: DataView, at: number): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) into.setUint32(at + i, memory.readU32(gpaOffset(from, i)), true);
  for (; i < count; i++) into.setUint8(at + i, memory.readU8(gpaOffset(from, i)));
}
