// The order of the workload `disk`: write number 1, 2, 3 ... goes to a block that anyone can compute again,
// so that after a crash it is decidable which write a block must at least hold.
#pragma once
#include "lib/permutation.h"
#include "lib/types.h"

struct block_order {
  bool is_random;
  u64 block_count;
  u64 sequence; // of the latest write handed out, 0 = none
  struct permutation pass;
};

// The next write handed out will be number first + 1.
static inline void block_order_begin(struct block_order *order, bool is_random, u64 block_count, u64 first) {
  *order = (struct block_order){.is_random = is_random, .block_count = block_count, .sequence = first};
  permutation_begin(&order->pass, block_count, first / block_count);
  for (u64 i = 0; is_random && i < first % block_count; i++) permutation_next(&order->pass);
}

// Hands out the next write: returns its block, and leaves its number in order->sequence.
static inline u64 block_order_next(struct block_order *order) {
  u64 position = order->sequence % order->block_count;
  if (position == 0)
    permutation_begin(&order->pass, order->block_count, order->sequence / order->block_count);
  order->sequence++;
  return order->is_random ? permutation_next(&order->pass) : position;
}
