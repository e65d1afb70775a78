import { TsvmmError } from '../../errors.ts';
import { alignUp, gpa, MIB } from '../../memory/address.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { KernelFile } from '../kernel-file.ts';
import { BOOT_FLAG, SETUP_HEADER_OFFSET, setupHeader, XLoadFlag } from './boot-params.ts';
import type { LinuxKernel } from './linux-kernel.ts';

const SECTOR_BYTES = 512;
const HEADER_SECTORS = 2;
/** Protocol 2.12 (Linux 3.8) tells in xloadflags whether there is a 64-bit entry. */
const OLDEST_VERSION = 0x020c;
/** A jump over the header says where it ends: byte 0x201 counts from 0x202. */
const JUMP_OPERAND = 0x201;
const HEADER_END_BASE = 0x202;
/** The 64-bit entry of the protected-mode kernel (boot.rst, "64-bit boot protocol"). */
const ENTRY_64 = 0x200;
const DEFAULT_SETUP_SECTS = 4;

/** Loads the protected-mode part of a bzImage where it prefers to be. Throws TSVMM_E_IMAGE_INVALID. */
export function loadBzImage(file: KernelFile, memory: GuestMemory): LinuxKernel {
  const invalid = (why: string, hint = 'give a bzImage (vmlinuz) for x86-64, or an ELF vmlinux') =>
    new TsvmmError('TSVMM_E_IMAGE_INVALID', `${file.path} cannot be booted: ${why}`, { hint });

  const header = readHeader(file);
  if (header.boot_flag !== BOOT_FLAG) throw invalid('its setup header has no boot flag');
  if (header.version < OLDEST_VERSION) {
    const version = `${header.version >> 8}.${header.version & 0xff}`;
    throw invalid(`it speaks boot protocol ${version}, 2.12 is needed`, 'use Linux 3.8 or newer');
  }
  if ((header.xloadflags & XLoadFlag.KERNEL_64) === 0) throw invalid('it is a 32-bit kernel');
  const alignment = header.kernel_alignment;
  if (alignment < 4096 || !Number.isInteger(Math.log2(alignment)))
    throw invalid('its alignment is no power of two');

  const setupBytes = ((header.setup_sects || DEFAULT_SETUP_SECTS) + 1) * SECTOR_BYTES;
  const length = file.size - setupBytes;
  if (length <= ENTRY_64) throw invalid('the file is truncated');
  // Relocatable or not, a kernel runs from its preferred address without having to move itself there.
  const start = header.pref_address;
  if (start < MIB || start % alignment !== 0)
    throw invalid('its preferred address is not aligned, or below 1 MiB');
  const needed = Math.max(length, header.init_size);
  if (!memory.contains(gpa(start), needed)) {
    const mib = Math.ceil((start + needed) / MIB);
    throw invalid(`it needs ${mib} MiB of memory to start`, 'give the VM more memory in the cluster file');
  }
  file.copyInto(memory, gpa(start), setupBytes, length);
  return { entry: start + ENTRY_64, end: alignUp(start + needed, 4096), header };
}

/** The header as far as this kernel has it; fields of later versions are zero (boot.rst, "64-bit boot protocol"). */
function readHeader(file: KernelFile) {
  const start = file.read(0, HEADER_SECTORS * SECTOR_BYTES);
  const end = HEADER_END_BASE + (start[JUMP_OPERAND] ?? 0);
  const header = setupHeader.allocate();
  header.bytes.set(
    start.subarray(SETUP_HEADER_OFFSET, Math.min(end, SETUP_HEADER_OFFSET + setupHeader.size)),
  );
  return header;
}
