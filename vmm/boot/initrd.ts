import { TsvmmError } from '../errors.ts';
import { alignDown, gpa, PAGE_SIZE } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { ramRegions } from '../memory/layout.ts';
import { KernelFile } from './kernel-file.ts';

/** Where an initial RAM disk lies in the guest. */
export interface LoadedInitrd {
  readonly start: number;
  readonly length: number;
}

/** What kernels take when they do not say (initrd_addr_max of all x86-64 kernels, Documentation/arch/x86/boot.rst). */
export const DEFAULT_INITRD_LIMIT = 0x8000_0000;

/**
 * Loads the file as high as possible below `limit`, where it is in nobody's way. Throws TSVMM_E_IMAGE_NOT_FOUND, and
 * TSVMM_E_IMAGE_INVALID when it does not fit behind `kernelEnd`.
 */
export function loadInitrd(
  path: string,
  memory: GuestMemory,
  { kernelEnd, limit }: { kernelEnd: number; limit: number },
): LoadedInitrd {
  const file = KernelFile.open(path, 'an initial RAM disk (a cpio archive, usually compressed)');
  try {
    if (file.size === 0)
      throw new TsvmmError('TSVMM_E_IMAGE_INVALID', `the initial RAM disk ${path} is empty`);
    const lowRamEnd = ramRegions(memory.length)[0]?.length ?? 0;
    const start = alignDown(Math.min(lowRamEnd, limit) - file.size, PAGE_SIZE);
    if (start < kernelEnd) {
      throw new TsvmmError(
        'TSVMM_E_IMAGE_INVALID',
        `the initial RAM disk ${path} (${file.size} bytes) does not fit beside the kernel`,
        { hint: 'give the VM more memory in the cluster file' },
      );
    }
    file.copyInto(memory, gpa(start), 0, file.size);
    return { start, length: file.size };
  } finally {
    file.close();
  }
}
