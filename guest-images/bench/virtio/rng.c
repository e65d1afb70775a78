#include "virtio/rng.h"

#include "events.h"
#include "lib/fatal.h"
#include "lib/random.h"
#include "lib/string.h"
#include "virtio/queue.h"

#define QUEUE_SIZE 4

static struct virtio_mmio *device;
static struct virtqueue queue;
static u8 buffer[RNG_BYTES];
static bool is_asked;
static struct rng_answer answer;

static void seed(void) {
  for (u32 i = 0; i + sizeof(u64) <= answer.length; i += sizeof(u64)) {
    u64 word;
    memcpy(&word, answer.bytes + i, sizeof word);
    random_seed(word);
  }
}

static bool poll(void *context) {
  (void)context;
  u32 length;
  virtio_mmio_settle_interrupt(device);
  if (!virtqueue_take(&queue, &length)) return false;
  if (length > RNG_BYTES) fatal("virtio-rng wrote %u bytes into %u", length, RNG_BYTES);
  is_asked = false;
  answer.count++;
  answer.length = length;
  memcpy(answer.bytes, buffer, length);
  seed();
  return true;
}

static void flush(void *context) {
  (void)context;
  virtqueue_publish(&queue);
}

static bool before_sleep(void *context) {
  (void)context;
  return virtqueue_want_interrupt(&queue);
}

void rng_ask(void) {
  struct virtq_segment segment = {(u64)buffer, RNG_BYTES};
  if (is_asked) return;
  is_asked = virtqueue_add(&queue, &segment, 0, 1, buffer);
}

void rng_start(struct virtio_mmio *rng) {
  device = rng;
  virtio_mmio_negotiate(device, 0);
  virtio_mmio_add_queue(device, &queue, 0, QUEUE_SIZE);
  virtio_mmio_go(device);
  events_add((struct event_source){poll, flush, before_sleep, NULL});
  rng_ask();
}

bool rng_is_there(void) { return device != NULL; }

const struct rng_answer *rng_answer(void) { return &answer; }
