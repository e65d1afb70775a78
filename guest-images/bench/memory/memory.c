#include "memory/memory.h"

#include "lib/fatal.h"
#include "lib/string.h"
#include "memory/paging.h"
#include "memory/pvh.h"

#define COMMAND_LINE_BYTES 8192
#define LOW_MEMORY_END 0x100000ull // BIOS data, the AP trampoline and what the VMM put there

extern u64 pvh_start_info; // boot.S
extern char image_end[];   // guest.ld

static char command_line[COMMAND_LINE_BYTES];
static struct memory_extent free_ranges[MEMORY_EXTENT_MAX];
static u32 free_range_count;
static u64 total_bytes;

static u64 align_up(u64 value, u64 alignment) { return (value + alignment - 1) & -alignment; }

static void add_ram(u64 start, u64 end) {
  total_bytes += end - start;
  end = min_u64(end, PAGING_LIMIT) & -PAGE_BYTES;
  if (end <= LOW_MEMORY_END) return;
  if (start < (u64)image_end) start = (u64)image_end;
  start = align_up(start, PAGE_BYTES);
  if (start >= end || free_range_count == MEMORY_EXTENT_MAX) return;
  free_ranges[free_range_count++] = (struct memory_extent){start, end - start};
}

static void copy_command_line(const char *text) {
  if (strlen(text) >= sizeof command_line)
    fatal("the command line is longer than %lu bytes", sizeof command_line - 1);
  memcpy(command_line, text, strlen(text));
}

void memory_prepare(void) {
  const struct pvh_start_info *info = (const void *)pvh_start_info;
  if (!info || info->magic != PVH_MAGIC || info->version < 1)
    fatal("not entered by the PVH protocol, version 1");
  if (info->command_line) copy_command_line((const char *)info->command_line);
  const struct pvh_memory *map = (const void *)info->memory_map;
  for (u32 i = 0; i < info->memory_map_count; i++)
    if (map[i].type == PVH_MEMORY_RAM) add_ram(map[i].address, map[i].address + map[i].size);
  if (free_range_count == 0) fatal("no RAM behind the image");
  for (u32 i = 0; i < free_range_count; i++) paging_map_ram(free_ranges[i].address, free_ranges[i].bytes);
}

const char *memory_command_line(void) { return command_line; }

u64 memory_total_bytes(void) { return total_bytes; }

u64 memory_free_bytes(void) {
  u64 sum = 0;
  for (u32 i = 0; i < free_range_count; i++) sum += free_ranges[i].bytes;
  return sum;
}

// The start of a piece of the range, or 0 if it does not fit.
static u64 take_from(struct memory_extent *range, u64 bytes, u64 alignment) {
  u64 start = align_up(range->address, alignment);
  u64 skipped = start - range->address;
  if (skipped > range->bytes || bytes > range->bytes - skipped) return 0;
  range->address = start + bytes;
  range->bytes -= skipped + bytes;
  return start;
}

void *memory_take(u64 bytes, u64 alignment) {
  for (u32 i = 0; i < free_range_count; i++) {
    u64 start = take_from(&free_ranges[i], bytes, alignment);
    if (start) return (void *)start;
  }
  fatal("out of memory: %lu bytes wanted, %lu free", bytes, memory_free_bytes());
}

static u64 whole_large_pages(const struct memory_extent *range) {
  u64 start = align_up(range->address, LARGE_PAGE_BYTES);
  u64 end = range->address + range->bytes;
  return start < end ? end - start : 0;
}

u32 memory_take_extents(u64 bytes, struct memory_extent extents[MEMORY_EXTENT_MAX]) {
  u64 available = 0;
  for (u32 i = 0; i < free_range_count; i++) available += whole_large_pages(&free_ranges[i]);
  if (bytes > available) return 0;
  u32 count = 0;
  for (u32 i = 0; i < free_range_count && bytes; i++) {
    u64 piece = min_u64(bytes, whole_large_pages(&free_ranges[i]));
    if (piece == 0) continue;
    extents[count++] = (struct memory_extent){take_from(&free_ranges[i], piece, LARGE_PAGE_BYTES), piece};
    bytes -= piece;
  }
  return count;
}
