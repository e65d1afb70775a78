// Writes pages. Each processor sweeps over its own slice of the area, in sequence or scrambled, and writes
// every page once a sweep; so the content that a page must have had is known, and is checked before each
// write.
#include "lib/fatal.h"
#include "lib/permutation.h"
#include "memory/memory.h"
#include "workloads/page_styles.h"
#include "workloads/workload.h"

#define BATCH_PAGES 256
#define KERNEL_BATCH_PAGES 32          // 8 emulated instructions a page
#define RATE_PERIOD_NS (2 * NS_PER_MS) // a limited rate wakes up this often
#define RATE_BACKLOG_NS (100 * NS_PER_MS)

enum pattern { PATTERN_SEQUENCE, PATTERN_RANDOM };
static const char *const patterns[] = {"seq", "random", NULL};
static const char *const styles[] = {PAGE_STYLE_NAMES, NULL};

struct slice {
  u64 first_page, page_count;
  u64 sweep; // 1 is the first
  u64 done;  // pages of this sweep
  struct permutation order;
  u64 credit, credited_at; // of a limited rate: pages * ns
} __attribute__((aligned(64)));

struct dirty {
  u64 size, rate, pattern, style; // options; rate 0 = full speed
  struct memory_extent extents[MEMORY_EXTENT_MAX];
  u32 extent_count;
  struct slice slices[CPU_COUNT_MAX];
};

static const struct option options[] = {
    {"size", OPTION_SIZE, offsetof(struct dirty, size), false, 16 << 20, CPU_COUNT_MAX * PAGE_BYTES,
     1ull << 36, NULL},
    {"rate", OPTION_RATE, offsetof(struct dirty, rate), false, 0, 0, 100000000, NULL},
    {"pattern", OPTION_CHOICE, offsetof(struct dirty, pattern), false, PATTERN_SEQUENCE, 0, 0, patterns},
    {"style", OPTION_CHOICE, offsetof(struct dirty, style), false, STYLE_MOV, 0, 0, styles},
};

static inline u64 address_of(const struct dirty *dirty, u64 page) {
  u64 offset = page * PAGE_BYTES;
  const struct memory_extent *extent = dirty->extents;
  while (offset >= extent->bytes) offset -= extent++->bytes;
  return extent->address + offset;
}

static void begin_sweep(struct slice *slice) {
  slice->sweep++;
  slice->done = 0;
  permutation_begin(&slice->order, slice->page_count, slice->sweep);
}

static void start(struct workload *workload) {
  struct dirty *dirty = workload->state;
  u64 pages = dirty->size / PAGE_BYTES;
  dirty->extent_count = memory_take_extents(pages * PAGE_BYTES, dirty->extents);
  if (dirty->extent_count == 0)
    fatal("dirty: size=%lu is more than the %lu bytes of free memory", dirty->size, memory_free_bytes());
  for (u32 i = 0; i < cpu_count; i++) {
    struct slice *slice = &dirty->slices[i];
    slice->first_page = pages * i / cpu_count;
    slice->page_count = pages * (i + 1) / cpu_count - slice->first_page;
    begin_sweep(slice);
  }
}

_Noreturn static void wrong_page(u64 address, u64 page, enum page_style style, u64 sweep) {
  const volatile u64 *words = (const volatile u64 *)(address + page_stamp_offset(style, page));
  struct page_stamp stamp = page_stamp(page, sweep - 1);
  fatal("dirty: page %lu at 0x%lx (style %s) is not what was written: found %lx %lx, expected %lx %lx", page,
        address, styles[style], words[0], words[1], stamp.first, stamp.second);
}

static inline void check_page(u64 address, u64 page, enum page_style style, u64 sweep) {
  if (sweep > 1 && !page_has_stamp(address, page, style, page_stamp(page, sweep - 1)))
    wrong_page(address, page, style, sweep);
}

static inline void rewrite_page(const struct dirty *dirty, u64 page, u64 sweep) {
  u64 address = address_of(dirty, page);
  enum page_style style = page_style_of(dirty->style, page);
  check_page(address, page, style, sweep);
  if (!page_write_stamp(address, page, style, page_stamp(page, sweep - 1), page_stamp(page, sweep),
                        sweep == 1))
    fatal("dirty: an atomic operation on page %lu at 0x%lx found a value that was not written", page,
          address);
}

static void rewrite_some(const struct dirty *dirty, struct slice *slice, u64 count) {
  if (dirty->pattern == PATTERN_RANDOM) {
    for (u64 i = 0; i < count; i++)
      rewrite_page(dirty, slice->first_page + permutation_next(&slice->order), slice->sweep);
  } else {
    u64 page = slice->first_page + slice->done;
    for (u64 i = 0; i < count; i++) rewrite_page(dirty, page + i, slice->sweep);
  }
}

// Pages in a row with one gate for all of them. Returns how many.
static u64 rewrite_row_kernel(const struct dirty *dirty, struct slice *slice, u64 count) {
  u64 page = slice->first_page + slice->done;
  u64 address = address_of(dirty, page);
  u64 row = 0;
  for (; row < count && address_of(dirty, page + row) == address + row * PAGE_BYTES; row++)
    check_page(address + row * PAGE_BYTES, page + row, STYLE_KERNEL, slice->sweep);
  page_write_stamps_kernel(address, page, slice->sweep, (u32)row);
  return row;
}

// Rewrites up to `count` pages, not beyond the end of the sweep. Returns how many.
static u64 rewrite(const struct dirty *dirty, struct slice *slice, u64 count) {
  bool is_row = dirty->style == STYLE_KERNEL && dirty->pattern == PATTERN_SEQUENCE;
  u64 limit = is_row || dirty->style == STYLE_KERNEL ? KERNEL_BATCH_PAGES : BATCH_PAGES;
  u64 batch = min_u64(min_u64(count, limit), slice->page_count - slice->done);
  if (is_row)
    batch = rewrite_row_kernel(dirty, slice, batch);
  else
    rewrite_some(dirty, slice, batch);
  slice->done += batch;
  if (slice->done == slice->page_count) begin_sweep(slice);
  return batch;
}

// How many pages are due by now on one processor. Time in which the VM did not run is not caught up.
static u64 take_credit(const struct dirty *dirty, struct slice *slice, u64 now) {
  u64 elapsed = slice->credited_at ? min_u64(now - slice->credited_at, RATE_BACKLOG_NS) : 0;
  slice->credited_at = now;
  slice->credit += elapsed * dirty->rate / cpu_count;
  return slice->credit / NS_PER_S;
}

static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  struct dirty *dirty = workload->state;
  struct slice *slice = &dirty->slices[cpu->index];
  struct meter *meter = &workload->meters[cpu->index];
  u64 due = dirty->rate ? take_credit(dirty, slice, now) : BATCH_PAGES;
  if (due) {
    u64 written = rewrite(dirty, slice, due);
    meter_add(meter, clock_now(cpu), written);
    if (dirty->rate == 0) return RUN_AGAIN;
    slice->credit -= written * NS_PER_S;
    if (written < due) return RUN_AGAIN;
  }
  u64 until_next_page = (NS_PER_S - slice->credit % NS_PER_S) * cpu_count / dirty->rate;
  return now + max_u64(until_next_page, RATE_PERIOD_NS);
}

const struct workload_kind workload_dirty = {
    .name = "dirty",
    .options = options,
    .option_count = array_length(options),
    .state_size = sizeof(struct dirty),
    .runs_everywhere = true,
    .start = start,
    .run = run,
};
