import { mprotect, PROT } from '../../vmm/ffi/libc.ts';
import type { Ram } from '../../vmm/memory/ram.ts';

const { READ, WRITE, EXEC } = PROT;

/**
 * Makes KVM drop its mappings of RAM, which come back as the guest touches memory. Arming has to do the same; what is
 * done already, a moment before the pause, it need not do within. The protection changes by more than is needed and back,
 * never by less, so that no access fails meanwhile. Where a security policy denies executable memory nothing happens.
 */
export function unmapGuest({ address, length }: Ram): void {
  if (mprotect(address, length, READ | WRITE | EXEC) === 0) mprotect(address, length, READ | WRITE);
}
