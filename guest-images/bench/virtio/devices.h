// The virtio devices of the VM, as the command line names them.
#pragma once
#include "virtio/mmio.h"

// Looks at every slot and starts the drivers of what needs no workload: network cards with an address, the first rng.
void devices_start(void);

// The n-th device of that kind, in the order of the command line; null if there is none.
struct virtio_mmio *devices_find(u32 device_id, u32 n);
