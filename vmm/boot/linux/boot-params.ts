/**
 * struct boot_params, the "zero page" by which Linux is told what the boot loader knows. Names and offsets are those of
 * arch/x86/include/uapi/asm/bootparam.h; Documentation/arch/x86/zero-page.rst and boot.rst describe them.
 */
import { elements, nested, packedStruct, struct, u8, u16, u32, usize } from '../../ffi/struct.ts';

/** From 0x1f1 of the file and of the zero page: what kernel and boot loader tell each other. */
export const setupHeader = packedStruct('setup_header', {
  setup_sects: u8,
  root_flags: u16,
  syssize: u32,
  ram_size: u16,
  vid_mode: u16,
  root_dev: u16,
  boot_flag: u16,
  jump: u16,
  header: u32,
  version: u16,
  realmode_swtch: u32,
  start_sys_seg: u16,
  kernel_version: u16,
  type_of_loader: u8,
  loadflags: u8,
  setup_move_size: u16,
  code32_start: u32,
  ramdisk_image: u32,
  ramdisk_size: u32,
  bootsect_kludge: u32,
  heap_end_ptr: u16,
  ext_loader_ver: u8,
  ext_loader_type: u8,
  cmd_line_ptr: u32,
  initrd_addr_max: u32,
  kernel_alignment: u32,
  relocatable_kernel: u8,
  min_alignment: u8,
  xloadflags: u16,
  cmdline_size: u32,
  hardware_subarch: u32,
  hardware_subarch_data: usize,
  payload_offset: u32,
  payload_length: u32,
  setup_data: usize,
  pref_address: usize,
  init_size: u32,
  handover_offset: u32,
  kernel_info_offset: u32,
});

/** Where the header begins, in the file and in the zero page. */
export const SETUP_HEADER_OFFSET = 0x1f1;
/** Entries that fit into boot_params (E820_MAX_ENTRIES_ZEROPAGE). */
export const MOST_E820_ENTRIES = 128;

export const e820Entry = packedStruct('boot_e820_entry', { addr: usize, size: usize, type: u32 });

export const bootParams = struct(
  'boot_params',
  {
    acpi_rsdp_addr: usize,
    ext_ramdisk_image: u32,
    ext_ramdisk_size: u32,
    ext_cmd_line_ptr: u32,
    e820_entries: u8,
    sentinel: u8,
    hdr: nested(setupHeader),
    e820_table: elements(e820Entry, MOST_E820_ENTRIES),
  },
  {
    acpi_rsdp_addr: 0x70,
    ext_ramdisk_image: 0xc0,
    e820_entries: 0x1e8,
    sentinel: 0x1ef,
    hdr: SETUP_HEADER_OFFSET,
    e820_table: 0x2d0,
    size: 4096,
  },
);

export const BOOT_FLAG = 0xaa55;
/** "HdrS" */
export const HEADER_MAGIC = 0x53726448;
export const LoadFlag = { LOADED_HIGH: 1 } as const;
export const XLoadFlag = { KERNEL_64: 1 } as const;
/** A boot loader without an assigned number. */
export const LOADER_UNDEFINED = 0xff;
