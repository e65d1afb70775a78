import { checked } from '../ffi/errno.ts';
import { backend } from '../ffi/index.ts';
import { MADV, MAP, madvise, mmap, munmap, PROT } from '../ffi/libc.ts';
import { alignUp, HUGE_PAGE_SIZE, type Hva, hva, hvaOffset, PAGE_SIZE } from './address.ts';

/** Memory outside of V8's heap, at an address that every thread can use. */
export interface NativeMemory {
  readonly address: Hva;
  readonly length: number;
  free(): void;
}

/** Zeroed memory of at least `length` bytes. `huge` aligns it to huge pages and asks for them. */
export function allocateNative(length: number, { huge = false } = {}): NativeMemory {
  const alignment = huge ? HUGE_PAGE_SIZE : PAGE_SIZE;
  const wanted = alignUp(length, alignment);
  const mapped = wanted + alignment - PAGE_SIZE;
  const start = checked(
    mmap(0, mapped, PROT.READ | PROT.WRITE, MAP.PRIVATE | MAP.ANONYMOUS | MAP.NORESERVE, -1, 0),
    'mmap',
  );
  const address = hva(alignUp(start, alignment));
  if (huge) madvise(address, wanted, MADV.HUGEPAGE);
  return { address, length: wanted, free: () => void munmap(hva(start), mapped) };
}

/** The bytes at an address, without copy. Valid only while the memory is mapped. */
export const bytesAt = (address: Hva, length: number, offset = 0): Uint8Array =>
  new Uint8Array(backend.view(hvaOffset(address, offset), length));
