import { readFileSync } from 'node:fs';
import { TsvmmError } from '../../vmm/errors.ts';
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
    prepare: async chunkSize => requireMappings(ram.length / chunkSize),
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

/** At worst every other chunk is writable, and each then is a mapping of its own, of which a process has only so many. */
function requireMappings(chunkCount: number): void {
  const limit = Number(readFileSync('/proc/sys/vm/max_map_count', 'latin1'));
  if (chunkCount <= limit / 2) return;
  throw new TsvmmError(
    'TSVMM_E_KVM_UNFIT',
    `${chunkCount} chunks may need more mappings than this host allows (${limit})`,
    { hint: 'use larger chunks, or --cow userfaultfd, or raise sysctl vm.max_map_count' },
  );
}
