import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { slotCmdline } from '../devices/virtio/slot.ts';
import { TsvmmError } from '../errors.ts';
import { checked } from '../ffi/errno.ts';
import { pread } from '../ffi/libc.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import type { MachineSoftware } from '../machine-parts.ts';
import { gpa, hvaOffset, MIB } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { type ElfImage, parseElf } from './elf.ts';
import { writePvhStartInfo } from './pvh.ts';

export interface BootSource {
  /** ELF executable on the host. */
  readonly imagePath: string;
  readonly cmdline: string;
  /** Files handed to the guest as they are (an initial RAM disk). */
  readonly modulePaths?: readonly string[];
}

/** Loaded guest software: puts the boot vCPU's registers where the boot protocol wants them. */
export interface BootProtocol {
  setUp(vcpu: Vcpu): void;
}

/** Boots an image: the command line given, and the words that announce the machine's devices. */
export const bootSoftware = ({ imagePath, cmdline }: BootSource): MachineSoftware => ({
  install: ({ memory, vcpus, slots }) => {
    const words = [cmdline, ...slots.map(slotCmdline)].filter(word => word !== '').join(' ');
    load({ imagePath, cmdline: words }, memory).setUp(vcpus[0] as Vcpu);
  },
});

/**
 * Loads the guest's software into RAM and answers how to enter it. Throws TSVMM_E_IMAGE_NOT_FOUND,
 * TSVMM_E_IMAGE_INVALID; RAM is undefined afterwards.
 */
export function load(source: BootSource, memory: GuestMemory): BootProtocol {
  const fd = openImage(source.imagePath);
  try {
    const file = fstatSync(fd);
    if (!file.isFile()) {
      throw new TsvmmError('TSVMM_E_IMAGE_INVALID', `${source.imagePath} is not a regular file`, {
        hint: 'name an ELF executable',
      });
    }
    const image = parseElf(source.imagePath, file.size, (offset, length) => readAt(fd, offset, length));
    if (image.pvhEntry === undefined) {
      throw new TsvmmError('TSVMM_E_IMAGE_INVALID', `${source.imagePath} has no PVH entry point`, {
        hint: 'build the kernel with CONFIG_PVH=y',
      });
    }
    loadSegments(source.imagePath, fd, image, memory);
    return writePvhStartInfo(memory, { entry: image.pvhEntry, cmdline: source.cmdline });
  } finally {
    closeSync(fd);
  }
}

function openImage(path: string): number {
  try {
    // A pipe would otherwise keep us waiting for a writer.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new TsvmmError('TSVMM_E_IMAGE_NOT_FOUND', `cannot read the image ${path}`, {
      hint: 'check the path; tsvmm image ls shows the built images',
      cause,
    });
  }
}

function readAt(fd: number, offset: number, length: number): Uint8Array {
  const buffer = new Uint8Array(length);
  return buffer.subarray(0, readSync(fd, buffer, 0, length, offset));
}

function loadSegments(path: string, fd: number, image: ElfImage, memory: GuestMemory): void {
  for (const { physicalAddress, fileOffset, fileSize, memorySize } of image.segments) {
    const start = gpa(physicalAddress);
    // Below 1 MiB are the boot protocol's own tables.
    if (physicalAddress < MIB || !memory.contains(start, memorySize)) {
      throw new TsvmmError(
        'TSVMM_E_IMAGE_INVALID',
        `${path} wants ${memorySize} bytes at 0x${physicalAddress.toString(16)}, where this guest has no free RAM`,
        { hint: 'give the VM more memory in the cluster file' },
      );
    }
    const destination = memory.hostRangeForWrite(start, fileSize);
    for (let done = 0; done < fileSize; ) {
      const count = pread(fd, hvaOffset(destination, done), fileSize - done, fileOffset + done);
      if (checked(count, `read of ${path}`) === 0) {
        throw new TsvmmError('TSVMM_E_IMAGE_INVALID', `${path} became shorter while it was being read`);
      }
      done += count;
    }
  }
}
