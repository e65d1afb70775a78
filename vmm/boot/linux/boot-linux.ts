import { setLongMode } from '../../arch/x86_64/long-mode.ts';
import type { ViewOf } from '../../ffi/struct.ts';
import { kvmRegs } from '../../kvm/layouts.ts';
import type { Vcpu } from '../../kvm/vcpu.ts';
import { gpa } from '../../memory/address.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { BootInformation, BootProtocol } from '../boot.ts';
import { writeCommandLine } from '../command-line.ts';
import { loadInitrd } from '../initrd.ts';
import { LowMemory } from '../low-memory.ts';
import { memoryMap } from '../memory-map.ts';
import { bootParams, LOADER_UNDEFINED, LoadFlag } from './boot-params.ts';
import type { LinuxKernel } from './linux-kernel.ts';
import { writeSetupData } from './setup-data.ts';

/** Whatever a kernel's header says: there is room for no more. */
const MOST_CMDLINE_BYTES = 64 * 1024 - 2;

/**
 * Prepares the entry by the 64-bit boot protocol (Documentation/arch/x86/boot.rst): zero page, setup data, command line,
 * initial RAM disk. Throws TSVMM_E_CONFIG, TSVMM_E_IMAGE_NOT_FOUND, TSVMM_E_IMAGE_INVALID.
 */
export function bootLinux(
  memory: GuestMemory,
  kernel: LinuxKernel,
  { cmdline, initrdPath, rsdp = 0 }: BootInformation,
): BootProtocol {
  const params = bootParams.allocate();
  params.hdr.bytes.set(kernel.header.bytes);
  params.hdr.type_of_loader = LOADER_UNDEFINED;
  params.hdr.loadflags |= LoadFlag.LOADED_HIGH;
  const cmdlineSize = Math.min(kernel.header.cmdline_size, MOST_CMDLINE_BYTES);
  params.hdr.cmd_line_ptr = writeCommandLine(memory, cmdline, cmdlineSize);
  params.hdr.setup_data = writeSetupData(memory);
  params.acpi_rsdp_addr = rsdp;
  if (initrdPath !== undefined) {
    const limit = kernel.header.initrd_addr_max + 1;
    const initrd = loadInitrd(initrdPath, memory, { kernelEnd: kernel.end, limit });
    params.hdr.ramdisk_image = initrd.start;
    params.hdr.ramdisk_size = initrd.length;
  }
  writeMemoryMap(params, memory.length);
  memory.copyIn(gpa(LowMemory.ZERO_PAGE), params.bytes);
  return { setUp: vcpu => enter(vcpu, memory, kernel.entry) };
}

function writeMemoryMap(params: ViewOf<typeof bootParams>, length: number): void {
  const map = memoryMap(length);
  params.e820_entries = map.length;
  for (const [i, { start, length, type }] of map.entries()) {
    const entry = params.e820_table[i];
    if (entry === undefined) throw new Error('the memory map does not fit into the zero page');
    entry.addr = start;
    entry.size = length;
    entry.type = type;
  }
}

/** 64-bit mode, interrupts off, rsi = zero page. */
function enter(vcpu: Vcpu, memory: GuestMemory, entry: number): void {
  const sregs = vcpu.get('sregs');
  setLongMode(sregs, memory, { gdt: LowMemory.GDT, pageTables: LowMemory.PAGE_TABLES });
  vcpu.set('sregs', sregs);
  const regs = kvmRegs.allocate();
  regs.rip = BigInt(entry);
  regs.rsi = BigInt(LowMemory.ZERO_PAGE);
  regs.rflags = 2n;
  vcpu.set('regs', regs);
}
