#include "memory/paging.h"

#include "memory/memory.h"

#define PRESENT_WRITABLE_USER 0x07
#define ACCESSED_DIRTY 0x60
#define LARGE 0x80

#define GIGABYTE (1ull << 30)
#define STATIC_LIMIT (4ull << 30)

extern u64 page_table_level3[512]; // tables.S

static void map_gigabyte(u64 index) {
  u64 *directory = memory_take(PAGE_BYTES, PAGE_BYTES);
  for (u64 i = 0; i < 512; i++)
    directory[i] = index * GIGABYTE + i * LARGE_PAGE_BYTES + (PRESENT_WRITABLE_USER | ACCESSED_DIRTY | LARGE);
  page_table_level3[index] = (u64)directory | PRESENT_WRITABLE_USER;
}

void paging_map_ram(u64 start, u64 bytes) {
  u64 first = max_u64(start, STATIC_LIMIT) / GIGABYTE;
  u64 end = (start + bytes + GIGABYTE - 1) / GIGABYTE;
  for (u64 index = first; index < end; index++)
    if (page_table_level3[index] == 0) map_gigabyte(index);
}
