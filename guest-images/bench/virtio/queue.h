// A split virtqueue (virtio 1.2, section 2.7), driver's side.
#pragma once
#include "lib/types.h"
#include "virtio/mmio.h"

#define VIRTQUEUE_SIZE_MAX 256
#define VIRTQUEUE_SEGMENT_MAX 16 // of one request

struct virtq_descriptor {
  u64 address;
  u32 length;
  u16 flags, next;
};

struct virtq_available { // `used_event` follows the ring
  u16 flags, index;
  u16 ring[];
};

struct virtq_used_element {
  u32 id, length;
};

struct virtq_used { // `avail_event` follows the ring
  u16 flags, index;
  struct virtq_used_element ring[];
};

struct virtq_segment {
  u64 address;
  u32 length;
};

struct virtqueue {
  const struct virtio_mmio *device;
  u32 number, size; // size is a power of two
  struct virtq_descriptor *descriptors;
  struct virtq_descriptor *indirect; // VIRTQUEUE_SEGMENT_MAX for each entry; null if not negotiated
  volatile struct virtq_available *available;
  volatile struct virtq_used *used;
  bool has_event_index;
  u16 free_first, free_count; // free descriptors, linked by `next`
  u16 added;                  // available index with all that was added
  u16 published;              // available index that the device sees
  u16 taken;                  // used index up to which results were taken
  void *tokens[VIRTQUEUE_SIZE_MAX];
};

void virtqueue_create(struct virtqueue *queue, const struct virtio_mmio *device, u32 number, u32 size_limit);

// Queues a request: first the segments that the device reads, then those that it writes. False if there is no
// room. The device sees it after virtqueue_publish.
bool virtqueue_add(struct virtqueue *queue, const struct virtq_segment *segments, u32 read_count,
                   u32 write_count, void *token);

// Shows all added requests to the device and, if it wants that, posts one notification (cpu/posted_write.h).
void virtqueue_publish(struct virtqueue *queue);

// The token of the next completed request, and how many bytes the device wrote; null if there is none.
void *virtqueue_take(struct virtqueue *queue, u32 *length);

static inline bool virtqueue_has_completed(const struct virtqueue *queue) {
  return queue->used->index != queue->taken;
}

// The device is to interrupt at the next completion. False if one is there already.
bool virtqueue_want_interrupt(struct virtqueue *queue);
// The device need not interrupt.
void virtqueue_forgo_interrupt(struct virtqueue *queue);
