// What a workload is: a small state machine that the scheduler runs again and again, with any number of
// others.
#pragma once
#include "cpu/clock.h"
#include "cpu/cpu.h"
#include "lib/json.h"
#include "lib/meter.h"
#include "lib/options.h"
#include "lib/types.h"

#define RUN_AGAIN 0 // from `run`: at once

struct workload;

struct workload_kind {
  const char *name;
  const struct option *options;
  u32 option_count;
  size_t state_size;    // zeroed memory at workload->state; the options are set in it
  bool runs_everywhere; // `run` is called on every processor, else only on the first
  bool runs_alone;      // no other workload beside it
  // All but `run` may be null and are called on the first processor.
  void (*start)(struct workload *workload);
  // Does a little (well under a millisecond); returns when it wants to run again: a time, RUN_AGAIN or
  // TIME_NEVER. A device's event makes it run earlier.
  u64 (*run)(struct workload *workload, struct cpu *cpu, u64 now);
  void (*report)(struct workload *workload, struct json *line); // more fields of the stat line
};

struct workload {
  const struct workload_kind *kind;
  void *state;
  u64 errors;
  u64 retransmits;
  struct meter meters[CPU_COUNT_MAX];
};

extern const struct workload_kind *const workload_kinds[];
extern const u32 workload_kind_count;
