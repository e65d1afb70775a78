// Counts the operations of a workload on one processor and the longest gap between two of them. Written by
// that processor, read by the first one.
#pragma once
#include "lib/types.h"

struct meter {
  u64 operations;
  u64 last_at; // time of the latest operation, 0 = none yet
  u64 gap_max; // taken (set to 0) by the reader
} __attribute__((aligned(64)));

static inline void meter_raise_gap(struct meter *meter, u64 gap) {
  u64 seen = __atomic_load_n(&meter->gap_max, __ATOMIC_RELAXED);
  while (gap > seen && !__atomic_compare_exchange_n(&meter->gap_max, &seen, gap, false, __ATOMIC_RELAXED,
                                                    __ATOMIC_RELAXED)) {
  }
}

// `count` operations are complete at `now`.
static inline void meter_add(struct meter *meter, u64 now, u64 count) {
  if (meter->last_at && now > meter->last_at) meter_raise_gap(meter, now - meter->last_at);
  __atomic_store_n(&meter->last_at, now, __ATOMIC_RELAXED);
  __atomic_store_n(&meter->operations, meter->operations + count, __ATOMIC_RELAXED);
}

// The longest gap since the last call, a gap that is still open included.
static inline u64 meter_take_gap(struct meter *meter, u64 now) {
  u64 gap = __atomic_exchange_n(&meter->gap_max, 0, __ATOMIC_RELAXED);
  u64 last = __atomic_load_n(&meter->last_at, __ATOMIC_RELAXED);
  return last && now > last ? max_u64(gap, now - last) : gap;
}
