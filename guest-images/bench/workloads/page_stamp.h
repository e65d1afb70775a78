// What the workload `dirty` writes into a page: two words that tell the page's number and how often it was
// written, and check each other.
#pragma once
#include "lib/types.h"

#define STAMP_MULTIPLIER 0x9e3779b97f4a7c15

struct page_stamp {
  u64 first, second;
};

// The product is done in gates.S as well.
static inline struct page_stamp page_stamp(u64 page, u64 generation) {
  u64 first = page << 32 | (u32)generation;
  return (struct page_stamp){first, ~(first * STAMP_MULTIPLIER)};
}
