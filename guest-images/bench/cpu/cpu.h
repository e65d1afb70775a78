// One record for each processor. A function that depends on the processor it runs on takes it as an argument.
#pragma once
#include "cpu/layout.h"
#include "lib/types.h"

struct cpu {
  u32 index;        // also its local APIC id
  bool is_running;  // set once by the processor itself
  u64 clock_last;   // clock.c
  u64 clock_offset; // clock.c
  u64 timer_at;     // lapic.c: when the running timer expires, 0 = none runs
} __attribute__((aligned(64)));

extern struct cpu cpus[CPU_COUNT_MAX];
extern u32 cpu_count;

// Gives every processor its TSS and stack. On the first processor, before any other starts.
void cpu_prepare(void);

// Starts processors 1 to count - 1; each runs secondary_main. Does not wait for them.
void cpu_start_secondaries(u32 count);

// Waits until all run; false if one does not within a few seconds.
bool cpu_wait_for_secondaries(void);

// Halts until the time `until` (clock_now's scale; TIME_NEVER: no timer), or an interrupt. May return early.
void cpu_sleep(struct cpu *cpu, u64 now, u64 until);

// Halts for good, interrupts or not.
_Noreturn void cpu_halt_forever(void);
