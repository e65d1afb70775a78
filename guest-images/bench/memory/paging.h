// Page tables: the first 4 GiB are mapped by tables.S, RAM above is added here in 2 MiB pages.
#pragma once
#include "lib/types.h"

#define PAGING_LIMIT (64ull << 30) // RAM above is left alone

void paging_map_ram(u64 start, u64 bytes);
