// The guest's RAM: found in the PVH memory map, identity-mapped, and given out once and for all.
#pragma once
#include "lib/types.h"

#define PAGE_BYTES 4096ull
#define LARGE_PAGE_BYTES 0x200000ull
#define MEMORY_EXTENT_MAX 4

struct memory_extent {
  u64 address, bytes;
};

// Copies what the VMM left in memory and maps RAM above 4 GiB.
void memory_prepare(void);

// The command line, as the VMM gave it.
const char *memory_command_line(void);

// All RAM of the VM.
u64 memory_total_bytes(void);

// RAM not given out yet.
u64 memory_free_bytes(void);

// Contiguous RAM below 4 GiB if there is any left there; zeroed by the VMM, not by us. Fatal when there is
// none.
void *memory_take(u64 bytes, u64 alignment);

// Takes `bytes` (a multiple of the page size) in up to MEMORY_EXTENT_MAX pieces, each starting at a large
// page. Returns the number of pieces, 0 if there is not so much.
u32 memory_take_extents(u64 bytes, struct memory_extent extents[MEMORY_EXTENT_MAX]);
