import { SETUP_HEADER_OFFSET, setupHeader } from '../../vmm/boot/linux/boot-params.ts';

export interface BzImageSpec {
  /** Protected-mode code, which is entered at 0x200. */
  readonly code?: Uint8Array;
  readonly setupSectors?: number;
  readonly version?: number;
  readonly xloadflags?: number;
  readonly alignment?: number;
  readonly prefAddress?: number;
  readonly initSize?: number;
  readonly initrdAddrMax?: number;
  readonly cmdlineSize?: number;
}

/** A bzImage that is in order, for tests to run or to spoil. */
export function buildBzImage(spec: BzImageSpec = {}): Uint8Array<ArrayBuffer> {
  const code = spec.code ?? new Uint8Array(0x400).fill(0xf4);
  const setupSectors = spec.setupSectors ?? 1;
  const setupBytes = (setupSectors + 1) * 512;
  const file = new Uint8Array(setupBytes + code.length);
  const header = setupHeader.at(file.buffer, SETUP_HEADER_OFFSET);
  header.setup_sects = setupSectors;
  header.boot_flag = 0xaa55;
  // jmp over the header, whose end this tells.
  header.jump = 0xeb + ((SETUP_HEADER_OFFSET + setupHeader.size - 0x202) << 8);
  header.header = 0x53726448;
  header.version = spec.version ?? 0x020f;
  header.loadflags = 1;
  header.code32_start = 0x100000;
  header.initrd_addr_max = spec.initrdAddrMax ?? 0x7fffffff;
  header.kernel_alignment = spec.alignment ?? 0x200000;
  header.relocatable_kernel = 1;
  header.xloadflags = spec.xloadflags ?? 1;
  header.cmdline_size = spec.cmdlineSize ?? 2047;
  header.pref_address = spec.prefAddress ?? 0x200000;
  header.init_size = spec.initSize ?? 0x10000;
  file.set(code, setupBytes);
  return file;
}
