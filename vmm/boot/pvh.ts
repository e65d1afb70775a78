import { setFlatSegments } from '../arch/x86_64/segments.ts';
import { struct, u32, usize } from '../ffi/struct.ts';
import { kvmRegs } from '../kvm/layouts.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import { gpa } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { BootInformation, BootProtocol } from './boot.ts';
import { LINUX_CMDLINE_BYTES, writeCommandLine } from './command-line.ts';
import { DEFAULT_INITRD_LIMIT, loadInitrd } from './initrd.ts';
import { LowMemory } from './low-memory.ts';
import { memoryMap } from './memory-map.ts';

/** The PVH boot protocol (xen/include/public/arch-x86/hvm/start_info.h, docs/misc/pvh.pandoc). */
export const hvmStartInfo = struct('hvm_start_info', {
  magic: u32,
  version: u32,
  flags: u32,
  nr_modules: u32,
  modlist_paddr: usize,
  cmdline_paddr: usize,
  rsdp_paddr: usize,
  memmap_paddr: usize,
  memmap_entries: u32,
  reserved: u32,
});
export const hvmMemmapTableEntry = struct('hvm_memmap_table_entry', {
  addr: usize,
  size: usize,
  type: u32,
  reserved: u32,
});

export const hvmModlistEntry = struct('hvm_modlist_entry', {
  paddr: usize,
  size: usize,
  cmdline_paddr: usize,
  reserved: usize,
});

const MAGIC = 0x336ec578;
const VERSION = 1;
/** For images of ours. What lies between the command line's place and the end of usable low memory is far more. */
const CMDLINE_MAXIMUM_BYTES = 64 * 1024 - 2;

const CR0_PE_ET = 0x11n;

/**
 * Prepares the entry by PVH: start info, memory map, command line, and the initial RAM disk as a module. Throws
 * TSVMM_E_CONFIG when the command line is too long, TSVMM_E_IMAGE_NOT_FOUND, TSVMM_E_IMAGE_INVALID.
 */
export function bootByPvh(
  memory: GuestMemory,
  kernel: { readonly pvhEntry: number; readonly end: number },
  { cmdline, initrdPath, rsdp = 0 }: BootInformation,
): BootProtocol {
  const map = memoryMap(memory.length);
  for (const [i, { start, length, type }] of map.entries()) {
    const row = hvmMemmapTableEntry.allocate();
    row.addr = start;
    row.size = length;
    row.type = type;
    memory.copyIn(gpa(LowMemory.PVH_MEMORY_MAP + i * hvmMemmapTableEntry.size), row.bytes);
  }

  const info = hvmStartInfo.allocate();
  info.magic = MAGIC;
  info.version = VERSION;
  // Linux, which PVH does not let say how much it takes, would drop the end without a word: the devices.
  const cmdlineMaximum_bytes = rsdp === 0 ? CMDLINE_MAXIMUM_BYTES : LINUX_CMDLINE_BYTES;
  info.cmdline_paddr = writeCommandLine(memory, cmdline, cmdlineMaximum_bytes);
  info.rsdp_paddr = rsdp;
  info.memmap_paddr = LowMemory.PVH_MEMORY_MAP;
  info.memmap_entries = map.length;
  if (initrdPath !== undefined) {
    const place = { kernelEnd: kernel.end, limit: DEFAULT_INITRD_LIMIT };
    const initrd = loadInitrd(initrdPath, memory, place);
    const module = hvmModlistEntry.allocate();
    module.paddr = initrd.start;
    module.size = initrd.length;
    memory.copyIn(gpa(LowMemory.PVH_MODULES), module.bytes);
    info.nr_modules = 1;
    info.modlist_paddr = LowMemory.PVH_MODULES;
  }
  memory.copyIn(gpa(LowMemory.PVH_START_INFO), info.bytes);
  return { setUp: vcpu => enterProtectedMode(vcpu, kernel.pvhEntry) };
}

/** 32-bit protected mode, flat segments, paging off, interrupts off, ebx = start info. */
function enterProtectedMode(vcpu: Vcpu, entry: number): void {
  const sregs = vcpu.get('sregs');
  setFlatSegments(sregs);
  sregs.cr0 = CR0_PE_ET;
  sregs.cr4 = 0n;
  sregs.efer = 0n;
  vcpu.set('sregs', sregs);
  const regs = kvmRegs.allocate();
  regs.rip = BigInt(entry);
  regs.rbx = BigInt(LowMemory.PVH_START_INFO);
  regs.rflags = 2n;
  vcpu.set('regs', regs);
}
