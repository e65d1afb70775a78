// The virtio-mmio transport, version 2 (virtio 1.2, section 4.2).
#pragma once
#include "cpu/io.h"
#include "lib/types.h"
#include "settings.h"

// Register offsets.
#define VIRTIO_MMIO_MAGIC 0x000
#define VIRTIO_MMIO_VERSION 0x004
#define VIRTIO_MMIO_DEVICE_ID 0x008
#define VIRTIO_MMIO_VENDOR_ID 0x00c
#define VIRTIO_MMIO_DEVICE_FEATURES 0x010
#define VIRTIO_MMIO_DEVICE_FEATURES_SELECT 0x014
#define VIRTIO_MMIO_DRIVER_FEATURES 0x020
#define VIRTIO_MMIO_DRIVER_FEATURES_SELECT 0x024
#define VIRTIO_MMIO_QUEUE_SELECT 0x030
#define VIRTIO_MMIO_QUEUE_SIZE_MAX 0x034
#define VIRTIO_MMIO_QUEUE_SIZE 0x038
#define VIRTIO_MMIO_QUEUE_READY 0x044
#define VIRTIO_MMIO_QUEUE_NOTIFY 0x050
#define VIRTIO_MMIO_INTERRUPT_STATUS 0x060
#define VIRTIO_MMIO_INTERRUPT_ACK 0x064
#define VIRTIO_MMIO_STATUS 0x070
#define VIRTIO_MMIO_QUEUE_DESCRIPTORS 0x080
#define VIRTIO_MMIO_QUEUE_AVAILABLE 0x090
#define VIRTIO_MMIO_QUEUE_USED 0x0a0
#define VIRTIO_MMIO_CONFIG_GENERATION 0x0fc
#define VIRTIO_MMIO_CONFIG 0x100

#define VIRTIO_ID_NET 1
#define VIRTIO_ID_BLOCK 2
#define VIRTIO_ID_RNG 4

// Features of every device (virtio 1.2, section 6).
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)

struct virtqueue;

struct virtio_mmio {
  u64 base;
  u32 pin;
  u32 device_id;
  u8 vector;         // 0 until virtio_mmio_go
  bool acknowledges; // the interrupt is a level that has to be acknowledged; tsvmm's are pulses
  u64 features;      // negotiated
};

static inline u32 virtio_mmio_read(const struct virtio_mmio *device, u32 offset) {
  return mmio_read32(device->base + offset);
}
static inline void virtio_mmio_write(const struct virtio_mmio *device, u32 offset, u32 value) {
  mmio_write32(device->base + offset, value);
}

// Device-specific configuration, each field in its own width, as the specification demands.
u8 virtio_mmio_config8(const struct virtio_mmio *device, u32 offset);
u16 virtio_mmio_config16(const struct virtio_mmio *device, u32 offset);
u64 virtio_mmio_config64(const struct virtio_mmio *device, u32 offset);

// Looks what is there. False if the slot is empty; fatal if it is not a virtio-mmio device of version 2.
bool virtio_mmio_probe(struct virtio_mmio *device, const struct device_word *word);

// Resets the device and takes what it offers of `wanted`. Event index, indirect descriptors and version 1 are
// always wanted.
void virtio_mmio_negotiate(struct virtio_mmio *device, u64 wanted);
static inline bool virtio_mmio_has(const struct virtio_mmio *device, u64 feature) {
  return device->features & feature;
}

// Creates queue `index` with at most `size_limit` entries.
void virtio_mmio_add_queue(const struct virtio_mmio *device, struct virtqueue *queue, u32 index,
                           u32 size_limit);

// All queues are there: routes the interrupt and lets the device go.
void virtio_mmio_go(struct virtio_mmio *device);

// To be called when looking for what has arrived: makes the next arrival interrupt again.
void virtio_mmio_settle_interrupt(const struct virtio_mmio *device);
