import { setFlatSegments } from '../arch/x86_64/segments.ts';
import { TsvmmError } from '../errors.ts';
import { struct, u32, usize } from '../ffi/struct.ts';
import { kvmRegs } from '../kvm/layouts.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import { gpa } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { BootProtocol } from './boot.ts';
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

const MAGIC = 0x336ec578;
const VERSION = 1;
/** Where the tables lie, below 1 MiB and away from the real-mode vectors. */
const START_INFO = 0x6000;
const MEMORY_MAP = 0x6100;
const CMDLINE = 0x20000;
const CMDLINE_MAXIMUM_BYTES = 64 * 1024 - 1;

const CR0_PE_ET = 0x11n;

/** Writes start info, memory map and command line; throws TSVMM_E_CONFIG when the latter is too long. */
export function writePvhStartInfo(
  memory: GuestMemory,
  { entry, cmdline }: { entry: number; cmdline: string },
): BootProtocol {
  const text = new TextEncoder().encode(`${cmdline}\0`);
  if (text.length > CMDLINE_MAXIMUM_BYTES) {
    throw new TsvmmError('TSVMM_E_CONFIG', `the command line is ${text.length} bytes long`, {
      hint: `keep it below ${CMDLINE_MAXIMUM_BYTES} bytes`,
    });
  }
  memory.copyIn(gpa(CMDLINE), text);

  const map = memoryMap(memory.length);
  for (const [i, { start, length, type }] of map.entries()) {
    const row = hvmMemmapTableEntry.allocate();
    row.addr = start;
    row.size = length;
    row.type = type;
    memory.copyIn(gpa(MEMORY_MAP + i * hvmMemmapTableEntry.size), row.bytes);
  }

  const info = hvmStartInfo.allocate();
  info.magic = MAGIC;
  info.version = VERSION;
  info.cmdline_paddr = CMDLINE;
  info.memmap_paddr = MEMORY_MAP;
  info.memmap_entries = map.length;
  memory.copyIn(gpa(START_INFO), info.bytes);

  return { setUp: vcpu => enterProtectedMode(vcpu, entry) };
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
  regs.rbx = BigInt(START_INFO);
  regs.rflags = 2n;
  vcpu.set('regs', regs);
}
