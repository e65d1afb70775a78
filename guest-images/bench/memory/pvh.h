// The PVH boot protocol's structures (Xen, xen/include/public/arch-x86/hvm/start_info.h).
#pragma once
#include "lib/types.h"

#define PVH_MAGIC 0x336ec578
#define PVH_MEMORY_RAM 1

struct pvh_start_info {
  u32 magic, version, flags, module_count;
  u64 modules, command_line, rsdp;
  u64 memory_map; // version 1 and up
  u32 memory_map_count, reserved;
};

struct pvh_memory {
  u64 address, size;
  u32 type, reserved;
};
