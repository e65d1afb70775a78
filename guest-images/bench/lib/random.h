// Random numbers for test data and for lwIP; not for secrets.
#pragma once
#include "lib/types.h"

u64 random_u64(void);

// Stirs in new entropy.
void random_seed(u64 seed);

// A well-mixed function of its argument (the finalizer of splitmix64).
static inline u64 mix_u64(u64 value) {
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}
