import { TsvmmError } from '../errors.ts';
import { gpa, MIB } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { type ElfImage, parseElf } from './elf.ts';
import type { KernelFile } from './kernel-file.ts';

/** Loads an ELF executable's segments where it wants them. Throws TSVMM_E_IMAGE_INVALID. */
export function loadElf(file: KernelFile, memory: GuestMemory): ElfImage & { readonly end: number } {
  const image = parseElf(file.path, file.size, (offset, length) => file.read(offset, length));
  let end = 0;
  for (const { physicalAddress, fileOffset, fileSize, memorySize } of image.segments) {
    const start = gpa(physicalAddress);
    // Below 1 MiB are the boot protocol's own tables.
    if (physicalAddress < MIB || !memory.contains(start, memorySize)) {
      throw new TsvmmError(
        'TSVMM_E_IMAGE_INVALID',
        `${file.path} wants ${memorySize} bytes at 0x${physicalAddress.toString(16)}, where this guest has no free RAM`,
        { hint: 'give the VM more memory in the cluster file' },
      );
    }
    file.copyInto(memory, start, fileOffset, fileSize);
    end = Math.max(end, physicalAddress + memorySize);
  }
  return { ...image, end };
}
