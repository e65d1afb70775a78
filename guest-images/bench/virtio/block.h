// virtio-blk (virtio 1.2, section 5.2): any number of requests in flight.
#pragma once
#include "virtio/mmio.h"
#include "virtio/queue.h"

#define BLOCK_SECTOR_BYTES 512

enum block_operation { BLOCK_READ = 0, BLOCK_WRITE = 1, BLOCK_FLUSH = 4 }; // the specification's numbers

struct block_request {
  struct {
    u32 type, reserved;
    u64 sector;
  } header;
  u8 status; // 0 = done
  u8 *data;
  u32 length; // bytes, a multiple of the sector size; 0 for a flush
};

struct virtio_block {
  struct virtio_mmio *device;
  struct virtqueue queue;
  u64 capacity_bytes;
  bool can_flush, is_read_only;
};

void virtio_block_start(struct virtio_block *block, struct virtio_mmio *device);

// Queues a request, which must stay in place until it is taken. False if there is no room.
bool virtio_block_submit(struct virtio_block *block, enum block_operation operation, u64 offset_bytes,
                         struct block_request *request);

// The next completed request, or null.
struct block_request *virtio_block_take(struct virtio_block *block);
