/**
 * What lies below 1 MiB when the guest is entered. All of it but what is in the former BIOS area, which the memory
 * map reserves, is the guest's as soon as it has read it.
 */
export const LowMemory = {
  /** MP floating pointer: the first place where a kernel looks for it. */
  MP_POINTER: 0x0,
  GDT: 0x500,
  PVH_START_INFO: 0x6000,
  PVH_MEMORY_MAP: 0x6100,
  PVH_MODULES: 0x6e00,
  /** struct boot_params of Linux. */
  ZERO_PAGE: 0x7000,
  /** The list of struct setup_data that the zero page begins. */
  SETUP_DATA: 0x8000,
  /** PML4, then a page directory pointer table, then four page directories. */
  PAGE_TABLES: 0x9000,
  COMMAND_LINE: 0x20000,
  /** Usable memory ends here: the extended BIOS data area would follow, then video and ROMs. */
  END: 0x9fc00,
  ACPI_TABLES: 0xe0000,
  /** A page of its own: 16 bytes that are others in each restored copy. */
  GENERATION_ID: 0xef000,
  MP_TABLE: 0xf0000,
  RESET_VECTOR: 0xffff0,
} as const;
