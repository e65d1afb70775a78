#include "lib/random.h"

static u64 state;

u64 random_u64(void) {
  state += 0x9e3779b97f4a7c15;
  return mix_u64(state);
}

void random_seed(u64 seed) { state ^= mix_u64(seed + 0x9e3779b97f4a7c15); }
