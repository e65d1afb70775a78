import { checked } from '../../vmm/ffi/errno.ts';
import { backend } from '../../vmm/ffi/index.ts';
import { MAP, mmap, munmap, PROT } from '../../vmm/ffi/libc.ts';
import { type Hva, hva } from '../../vmm/memory/address.ts';

/** Memory of ours at a fixed address, so that system calls can be given it like guest memory. */
export interface HostBuffer {
  readonly address: Hva;
  readonly bytes: Uint8Array;
  free(): void;
}

/** Throws SyscallError. */
export function allocateHostBuffer(length: number): HostBuffer {
  const mapped = mmap(0, length, PROT.READ | PROT.WRITE, MAP.PRIVATE | MAP.ANONYMOUS, -1, 0);
  const address = hva(checked(mapped, 'mmap'));
  const bytes = new Uint8Array(backend.view(address, length));
  return { address, bytes, free: () => void munmap(address, length) };
}
