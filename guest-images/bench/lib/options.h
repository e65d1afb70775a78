// Options written as name=value, described by tables: each names a field of a structure and its bounds.
#pragma once
#include "lib/types.h"

enum option_type {
  OPTION_NUMBER, // u64, decimal
  OPTION_SIZE,   // u64, decimal with K, M, G or KiB, MiB, GiB behind
  OPTION_RATE,   // u64, decimal, or `max`, which is 0
  OPTION_CHOICE, // u64, the index of one of `choices`
  OPTION_TEXT,   // const char *
};

struct option {
  const char *name;
  enum option_type type;
  size_t offset;
  bool is_required;
  u64 fallback, min, max;     // numbers
  const char *const *choices; // ends with a null pointer
};

void options_set_fallbacks(const struct option *options, u32 count, void *target);

// Sets the field that `word` (name=value) names. False if no option has that name; fatal on a bad value.
bool options_set(const struct option *options, u32 count, void *target, const char *word);

// Fatal, naming it, if a required option was not set (is still 0 or null).
void options_require(const struct option *options, u32 count, const void *target, const char *owner);
