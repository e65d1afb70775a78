import { checked } from '../ffi/errno.ts';
import { backend } from '../ffi/index.ts';
import { MAP, mmap, munmap, PROT } from '../ffi/libc.ts';
import { type Hva, hva } from './address.ts';

/** Memory of ours at an address that C functions and the kernel can be given; zeroed, touched pages only cost. */
export interface HostBuffer {
  readonly address: Hva;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** `bytes` and `view` must not be used afterwards. */
  free(): void;
}

/** Maps `length` bytes, at most 2 GiB. Throws SyscallError. */
export function allocateHostBuffer(length: number): HostBuffer {
  const flags = MAP.PRIVATE | MAP.ANONYMOUS | MAP.NORESERVE;
  const address = hva(checked(mmap(0, length, PROT.READ | PROT.WRITE, flags, -1, 0), 'mmap'));
  const buffer = backend.view(address, length);
  return {
    address,
    bytes: new Uint8Array(buffer),
    view: new DataView(buffer),
    free: () => void munmap(address, length),
  };
}
