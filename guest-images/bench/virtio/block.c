#include "virtio/block.h"

#include "events.h"

// Feature bits (virtio 1.2, 5.2.3).
#define F_RO (1ull << 5)
#define F_FLUSH (1ull << 9)

#define CONFIG_CAPACITY 0 // in sectors

#define STATUS_NOT_DONE 0xff

static bool poll(void *context) {
  struct virtio_block *block = context;
  virtio_mmio_settle_interrupt(block->device);
  return virtqueue_has_completed(&block->queue);
}

static void flush(void *context) { virtqueue_publish(&((struct virtio_block *)context)->queue); }

static bool before_sleep(void *context) {
  return virtqueue_want_interrupt(&((struct virtio_block *)context)->queue);
}

void virtio_block_start(struct virtio_block *block, struct virtio_mmio *device) {
  *block = (struct virtio_block){.device = device};
  virtio_mmio_negotiate(device, F_RO | F_FLUSH);
  block->can_flush = virtio_mmio_has(device, F_FLUSH);
  block->is_read_only = virtio_mmio_has(device, F_RO);
  block->capacity_bytes = virtio_mmio_config64(device, CONFIG_CAPACITY) * BLOCK_SECTOR_BYTES;
  virtio_mmio_add_queue(device, &block->queue, 0, VIRTQUEUE_SIZE_MAX);
  virtio_mmio_go(device);
  events_add((struct event_source){poll, flush, before_sleep, block});
}

bool virtio_block_submit(struct virtio_block *block, enum block_operation operation, u64 offset_bytes,
                         struct block_request *request) {
  struct virtq_segment segments[3];
  u32 count = 0, read_count = 1;
  request->header.type = operation;
  request->header.reserved = 0;
  request->header.sector = operation == BLOCK_FLUSH ? 0 : offset_bytes / BLOCK_SECTOR_BYTES;
  request->status = STATUS_NOT_DONE;
  segments[count++] = (struct virtq_segment){(u64)&request->header, sizeof request->header};
  if (operation != BLOCK_FLUSH)
    segments[count++] = (struct virtq_segment){(u64)request->data, request->length};
  if (operation == BLOCK_WRITE) read_count++;
  segments[count++] = (struct virtq_segment){(u64)&request->status, sizeof request->status};
  return virtqueue_add(&block->queue, segments, read_count, count - read_count, request);
}

struct block_request *virtio_block_take(struct virtio_block *block) {
  u32 length;
  return virtqueue_take(&block->queue, &length);
}
