import { backend } from '../../vmm/ffi/index.ts';
import { type Hva, hvaOffset, PAGE_SIZE } from '../../vmm/memory/address.ts';
import { allocateNative } from '../../vmm/memory/native.ts';

/** memcmp(3): 0 when equal. Bound as what it is: its -1 is a result, and no error. */
const memcmp = backend.bindFrom('libc.so.6', 'memcmp', 'i32', ['address', 'address', 'u64']);

export const isEqual = (a: Hva, b: Hva, length: number): boolean => memcmp(a, b, length) === 0;

/** A page that stays zero, to compare with. */
const zeroPage = allocateNative(PAGE_SIZE).address;

export const isZeroPage = (address: Hva): boolean => memcmp(address, zeroPage, PAGE_SIZE) === 0;

/** Whether `length` bytes, a multiple of the page size, are all zero: each page equals the one before it. */
export const isZeroRange = (address: Hva, length: number): boolean =>
  isZeroPage(address) &&
  (length === PAGE_SIZE || memcmp(hvaOffset(address, PAGE_SIZE), address, length - PAGE_SIZE) === 0);
