// The virtio devices of the VM, as the command line names them.
#pragma once
#include "virtio/mmio.h"

// Looks at every slot and starts the driver of the first rng; others start what they need.
void devices_start(void);

// The n-th device of that kind, in the order of the command line; null if there is none.
struct virtio_mmio *devices_find(u32 device_id, u32 n);
