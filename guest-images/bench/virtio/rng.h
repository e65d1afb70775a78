// virtio-rng (virtio 1.2, section 5.4): one request at a time.
#pragma once
#include "virtio/mmio.h"

#define RNG_BYTES 64

// Starts the driver and asks for the first bytes, without waiting for them.
void rng_start(struct virtio_mmio *device);
bool rng_is_there(void);

// Asks for RNG_BYTES more; nothing happens while a request is under way.
void rng_ask(void);

// What the last completed request brought; `count` is its number, 0 = none yet.
struct rng_answer {
  u64 count;
  u32 length;
  u8 bytes[RNG_BYTES];
};
const struct rng_answer *rng_answer(void);
