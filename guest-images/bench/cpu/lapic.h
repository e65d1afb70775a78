// The local APIC: one-shot or periodic timer, and the messages that start other processors.
#pragma once
#include "cpu/cpu.h"
#include "lib/types.h"

// Switches the local APIC of this processor on, timer stopped.
void lapic_enable(const struct cpu *cpu);

// The count to start the timer with (gate_sleep does) so that an interrupt comes at `until` or before; 0 =
// one is on its way already.
u32 lapic_timer_plan(struct cpu *cpu, u64 now, u64 until);

// From now on a timer interrupt every `period_ns`; lapic_timer_plan then relies on these.
void lapic_timer_tick(struct cpu *cpu, u64 period_ns);

// INIT and start-up IPI to the processor with that APIC id: real mode at `address`, which is a page below 1
// MiB.
void lapic_start_processor(u32 apic_id, u32 address);

// One write to a register without effect (task priority = 0), for measuring.
void lapic_touch(void);
