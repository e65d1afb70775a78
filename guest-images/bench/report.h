// The lines that the guest prints by itself: ready, stat, boot, done.
#pragma once
#include "lib/types.h"

// Notes that the boot has come so far; the word boot=1 prints these times.
void report_boot_step(const char *name);
void report_ready(void);

// Prints the stat lines when they are due and ends a limited run; returns when it wants to be called again.
u64 report_run(u64 now);
