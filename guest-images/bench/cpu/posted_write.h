// A write to a device register that may wait until the processor is about to sleep: gate_sleep then does it
// from CPL0, which costs a software KVM one emulated instruction instead of an exit of its own. First
// processor only.
#pragma once
#include "lib/types.h"

struct posted_write {
  u64 address; // 0 = none is waiting
  u32 value;
};

// Posts a write. One that waits already is done now.
void posted_write(u64 address, u32 value);

// Does the waiting write now.
void posted_write_flush(void);

// Hands the waiting write to the caller, who does it.
struct posted_write posted_write_take(void);
