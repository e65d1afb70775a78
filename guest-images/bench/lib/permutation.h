// Visits 0 .. count - 1 once each in a scrambled order that depends on `round`: a full-period linear
// congruential generator over the next power of two, skipping what is out of range. Nothing to store, and
// every order can be computed again, so a checker knows what was visited when.
#pragma once
#include "lib/types.h"

struct permutation {
  u64 count, mask, state, increment;
};

static inline void permutation_begin(struct permutation *permutation, u64 count, u64 round) {
  u64 mask = count - 1;
  for (u32 shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
  *permutation = (struct permutation){count, mask, round & mask, (2 * round * 0x9e3779b97f4a7c15 + 1) & mask};
}

// To be called `count` times for each round.
static inline u64 permutation_next(struct permutation *permutation) {
  do
    permutation->state =
        (permutation->state * 0xd1342543de82ef95 + permutation->increment) & permutation->mask;
  while (permutation->state >= permutation->count);
  return permutation->state;
}
