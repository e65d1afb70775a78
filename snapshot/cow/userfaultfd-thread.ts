/** The thread that answers one VM's write faults while userfaultfd protects its RAM. */
import { errno } from '../../vmm/ffi/errno.ts';
import { MADV, madvise, memcpy } from '../../vmm/ffi/libc.ts';
import { serveIoThread } from '../../vmm/io/io-thread.ts';
import { hvaOffset, PAGE_SIZE } from '../../vmm/memory/address.ts';
import { CopyOnWrite } from '../../vmm/memory/copy-on-write.ts';
import { CowCounter } from '../../vmm/memory/cow-state.ts';
import { allocateNative } from '../../vmm/memory/native.ts';
import type { RamDescriptor } from '../../vmm/memory/ram.ts';
import { UserFaultFd } from '../../vmm/memory/userfaultfd.ts';

export interface UserfaultSetup {
  readonly fd: number;
  readonly ram: RamDescriptor;
}

/** See populate(). */
export type UserfaultMessage = 'populate';

serveIoThread<UserfaultMessage, UserfaultSetup>((loop, { fd, ram }) => {
  const userfault = new UserFaultFd(fd);
  const cow = new CopyOnWrite(ram.cow, ram.address, ram.length);

  function answer(address: number): void {
    const offset = address - ram.address;
    // Saving lifts the protection, which wakes who waits for it. Somebody else may have done that since.
    if (cow.savePage(Math.floor(offset / PAGE_SIZE), CowCounter.cow_faults)) return;
    const chunk = Math.floor(offset / cow.state.chunkSize);
    userfault.wake(cow.chunkAddress(chunk), cow.chunkLength(chunk));
  }

  loop.add(fd, () => {
    try {
      for (let address = userfault.nextFault(); address >= 0; address = userfault.nextFault())
        answer(address);
    } catch (error) {
      // Rather no snapshot than a guest that waits for ever: the saver finds the epoch given up.
      userfault.writeProtect(ram.address, ram.length, false);
      cow.state.disarm(cow.chunkCount);
      throw error;
    }
  });
  return () => populate(ram);
});

/**
 * Maps the zero page wherever the guest has not been yet: the kernel protects only what is mapped (unless it has
 * UFFD_FEATURE_WP_UNPOPULATED, which splits huge pages to do it). Takes no memory to speak of.
 */
function populate({ address, length }: RamDescriptor): void {
  const result = madvise(address, length, MADV.POPULATE_READ);
  if (result !== -errno.EINVAL) return;
  // Linux before 5.14.
  const sink = allocateNative(PAGE_SIZE);
  for (let offset = 0; offset < length; offset += PAGE_SIZE)
    memcpy(sink.address, hvaOffset(address, offset), 1);
  sink.free();
}
