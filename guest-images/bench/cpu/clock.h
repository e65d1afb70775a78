// The time since the guest was entered, in nanoseconds. It comes from kvmclock where KVM offers it, so it
// goes on without a jump when the VM is restored from a snapshot; else from the TSC.
#pragma once
#include "cpu/cpu.h"
#include "lib/types.h"

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull
#define TIME_NEVER (~0ull)

// On the first processor: finds the clock source. On every other one: clock_prepare_secondary.
void clock_prepare(void);
void clock_prepare_secondary(struct cpu *cpu);

// Never goes back on one processor.
u64 clock_now(struct cpu *cpu);

// Whatever can wait is done on whole seconds, all at once.
static inline u64 clock_next_second(u64 time) { return (time + NS_PER_S - 1) / NS_PER_S * NS_PER_S; }

// "kvmclock" or "tsc".
const char *clock_source(void);

u64 clock_tsc_to_ns(u64 ticks);
