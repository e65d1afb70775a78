// Runs the workloads: one cooperative loop on each processor; the first one also serves devices and reports.
#pragma once
#include "cpu/cpu.h"

void scheduler_start_workloads(void);
_Noreturn void scheduler_run_first(struct cpu *cpu);
_Noreturn void scheduler_run_secondary(struct cpu *cpu);
