import { checked } from '../../vmm/ffi/errno.ts';
import { mprotect, PROT } from '../../vmm/ffi/libc.ts';
import { Mechanism } from '../../vmm/memory/cow-state.ts';
import type { CowMechanism, ProtectedRam } from './mechanism.ts';

/**
 * Copy-on-write by mprotect(2): one call makes all RAM read-only; a guest's write then makes KVM_RUN fail with EFAULT
 * and the vCPU's own thread saves the chunk. Over huge pages the call takes a fraction of a millisecond per GiB.
 */
export function mprotectMechanism({ ram, cow }: ProtectedRam): CowMechanism {
  return {
    name: 'mprotect',
    prepare: async () => {},
    arm: options => {
      cow.state.arm({ ...options, mechanism: Mechanism.MPROTECT }, Math.ceil(ram.length / options.chunkSize));
      checked(mprotect(ram.address, ram.length, PROT.READ), 'mprotect');
    },
    disarm: () => {
      checked(mprotect(ram.address, ram.length, PROT.READ | PROT.WRITE), 'mprotect');
      cow.state.disarm(cow.chunkCount);
    },
    close: async () => {},
  };
}
