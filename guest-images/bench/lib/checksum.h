// A 64-bit checksum over words that sees their order (Fletcher's scheme).
#pragma once
#include "lib/random.h"
#include "lib/types.h"

struct checksum {
  u64 sum, sum_of_sums;
};

static inline void checksum_add(struct checksum *checksum, u64 word) {
  checksum->sum += word;
  checksum->sum_of_sums += checksum->sum;
}

static inline u64 checksum_value(const struct checksum *checksum) {
  return mix_u64(checksum->sum ^ mix_u64(checksum->sum_of_sums));
}
