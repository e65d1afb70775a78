import { TsvmmError } from '../../errors.ts';
import { LINUX_CMDLINE_BYTES } from '../command-line.ts';
import type { ElfImage } from '../elf.ts';
import { DEFAULT_INITRD_LIMIT } from '../initrd.ts';
import { BOOT_FLAG, HEADER_MAGIC, setupHeader } from './boot-params.ts';
import type { LinuxKernel } from './linux-kernel.ts';

/** Protocol 2.15: the latest that is described; a vmlinux has no header of its own to say what it knows. */
const PROTOCOL_VERSION = 0x020f;
const KERNEL_ALIGNMENT = 0x20_0000;

/** A vmlinux: its ELF entry is what a bzImage's decompressor would jump to, with the same registers. Throws TSVMM_E_IMAGE_INVALID. */
export function elfKernel(
  path: string,
  { entry, end, segments }: ElfImage & { readonly end: number },
): LinuxKernel {
  if (!segments.some(at => entry >= at.physicalAddress && entry < at.physicalAddress + at.fileSize)) {
    throw new TsvmmError('TSVMM_E_IMAGE_INVALID', `${path} has no PVH note, and its entry is in no segment`, {
      hint: 'give a Linux kernel for x86-64 (vmlinux or bzImage)',
    });
  }
  const header = setupHeader.allocate();
  header.boot_flag = BOOT_FLAG;
  header.header = HEADER_MAGIC;
  header.version = PROTOCOL_VERSION;
  header.kernel_alignment = KERNEL_ALIGNMENT;
  header.cmdline_size = LINUX_CMDLINE_BYTES;
  header.initrd_addr_max = DEFAULT_INITRD_LIMIT - 1;
  return { entry, end, header };
}
