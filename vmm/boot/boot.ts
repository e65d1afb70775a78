import { slotCmdline } from '../devices/virtio/slot.ts';
import { hostKind } from '../kvm/host-kind.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import type { MachineParts, MachineSoftware } from '../machine-parts.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { splitCommandLine } from './command-line.ts';
import { KernelFile } from './kernel-file.ts';
import { loadElf } from './load-elf.ts';
import { bootByPvh } from './pvh.ts';

export interface BootSource {
  /** On the host: an ELF executable, or a bzImage. */
  readonly imagePath: string;
  /** An initial RAM disk on the host. */
  readonly initrdPath?: string;
  readonly cmdline: string;
  /** Write the tables by which kernels of all kinds find processors and devices; an image of ours needs none. */
  readonly firmwareTables?: boolean;
}

/** Loaded guest software: puts the boot vCPU's registers where the boot protocol wants them. */
export interface BootProtocol {
  setUp(vcpu: Vcpu): void;
}

/** What a kernel is told, in whatever way its boot protocol has. */
export interface BootInformation {
  readonly cmdline: string;
  readonly initrdPath?: string;
  /** Where the ACPI root pointer lies, if there are tables. */
  readonly rsdp?: number;
}

/** Boots an image: the command line given, and the words that announce the machine's devices. */
export const bootSoftware = (source: BootSource): MachineSoftware => ({
  install: async parts => {
    const { kernel, init } = splitCommandLine(source.cmdline);
    const hostWords = source.firmwareTables ? await wordsForHost(kernel) : [];
    const words = [kernel, ...hostWords, ...parts.slots.map(slotCmdline), init];
    const information: BootInformation = {
      cmdline: words.filter(word => word !== '').join(' '),
      ...(source.initrdPath === undefined ? {} : { initrdPath: source.initrdPath }),
      ...(source.firmwareTables ? await writeTables(parts) : {}),
    };
    const protocol = await load(source.imagePath, parts.memory, information);
    protocol.setUp(parts.vcpus[0] as Vcpu);
  },
});

/** Loaded when it is needed: an image of ours boots without, and quickly. */
async function writeTables(parts: MachineParts): Promise<Pick<BootInformation, 'rsdp'>> {
  const { writeFirmwareTables } = await import('./firmware-tables.ts');
  return writeFirmwareTables(parts);
}

async function wordsForHost(cmdline: string): Promise<string[]> {
  const { linuxHostWords } = await import('./linux/host-words.ts');
  return linuxHostWords(cmdline, hostKind());
}

const BZIMAGE_PROBE_BYTES = 0x206;

/**
 * Loads a kernel into RAM and answers how to enter it: an ELF executable by PVH if it has the note, else by the 64-bit
 * Linux protocol, by which a bzImage is entered too. Throws TSVMM_E_IMAGE_NOT_FOUND, TSVMM_E_IMAGE_INVALID,
 * TSVMM_E_CONFIG; RAM is undefined afterwards.
 */
export async function load(
  imagePath: string,
  memory: GuestMemory,
  information: BootInformation,
): Promise<BootProtocol> {
  const file = KernelFile.open(imagePath, 'a kernel: an ELF executable or a bzImage');
  try {
    const probe = file.read(0, BZIMAGE_PROBE_BYTES);
    if (isBzImage(probe)) {
      const { loadBzImage } = await import('./linux/bzimage.ts');
      const { bootLinux } = await import('./linux/boot-linux.ts');
      return bootLinux(memory, loadBzImage(file, memory), information);
    }
    const image = loadElf(file, memory);
    if (image.pvhEntry !== undefined)
      return bootByPvh(memory, { ...image, pvhEntry: image.pvhEntry }, information);
    const { elfKernel } = await import('./linux/elf-kernel.ts');
    const { bootLinux } = await import('./linux/boot-linux.ts');
    return bootLinux(memory, elfKernel(file.path, image), information);
  } finally {
    file.close();
  }
}

/** "HdrS" at 0x202 (Documentation/arch/x86/boot.rst, the real-mode kernel header). */
function isBzImage(start: Uint8Array): boolean {
  return start.length === BZIMAGE_PROBE_BYTES && new TextDecoder().decode(start.subarray(0x202)) === 'HdrS';
}
