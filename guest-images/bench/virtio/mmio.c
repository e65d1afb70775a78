#include "virtio/mmio.h"

#include "cpu/interrupts.h"
#include "lib/fatal.h"
#include "virtio/queue.h"

#define MAGIC 0x74726976        // "virt"
#define VENDOR_TSVMM 0x4d565354 // "TSVM"
#define DEVICE_NONE 0

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FEATURES_OK 8

u8 virtio_mmio_config8(const struct virtio_mmio *device, u32 offset) {
  return *(volatile u8 *)(device->base + VIRTIO_MMIO_CONFIG + offset);
}

u16 virtio_mmio_config16(const struct virtio_mmio *device, u32 offset) {
  return *(volatile u16 *)(device->base + VIRTIO_MMIO_CONFIG + offset);
}

// A 64-bit field is read in halves; the generation tells whether both are of one value (virtio 1.2, 2.5.3).
u64 virtio_mmio_config64(const struct virtio_mmio *device, u32 offset) {
  for (;;) {
    u32 generation = virtio_mmio_read(device, VIRTIO_MMIO_CONFIG_GENERATION);
    u64 low = virtio_mmio_read(device, VIRTIO_MMIO_CONFIG + offset);
    u64 high = virtio_mmio_read(device, VIRTIO_MMIO_CONFIG + offset + 4);
    if (generation == virtio_mmio_read(device, VIRTIO_MMIO_CONFIG_GENERATION)) return low | high << 32;
  }
}

bool virtio_mmio_probe(struct virtio_mmio *device, const struct device_word *word) {
  *device = (struct virtio_mmio){.base = word->address, .pin = word->pin};
  if (virtio_mmio_read(device, VIRTIO_MMIO_MAGIC) != MAGIC)
    fatal("no virtio-mmio device at 0x%lx", word->address);
  u32 version = virtio_mmio_read(device, VIRTIO_MMIO_VERSION);
  if (version != 2) fatal("the virtio-mmio device at 0x%lx has version %u, not 2", word->address, version);
  device->device_id = virtio_mmio_read(device, VIRTIO_MMIO_DEVICE_ID);
  device->acknowledges = virtio_mmio_read(device, VIRTIO_MMIO_VENDOR_ID) != VENDOR_TSVMM;
  return device->device_id != DEVICE_NONE;
}

static u64 read_offer(const struct virtio_mmio *device) {
  virtio_mmio_write(device, VIRTIO_MMIO_DEVICE_FEATURES_SELECT, 0);
  u64 low = virtio_mmio_read(device, VIRTIO_MMIO_DEVICE_FEATURES);
  virtio_mmio_write(device, VIRTIO_MMIO_DEVICE_FEATURES_SELECT, 1);
  return low | (u64)virtio_mmio_read(device, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
}

static void write_choice(const struct virtio_mmio *device) {
  virtio_mmio_write(device, VIRTIO_MMIO_DRIVER_FEATURES_SELECT, 0);
  virtio_mmio_write(device, VIRTIO_MMIO_DRIVER_FEATURES, (u32)device->features);
  virtio_mmio_write(device, VIRTIO_MMIO_DRIVER_FEATURES_SELECT, 1);
  virtio_mmio_write(device, VIRTIO_MMIO_DRIVER_FEATURES, (u32)(device->features >> 32));
}

// Virtio 1.2, section 3.1.1.
void virtio_mmio_negotiate(struct virtio_mmio *device, u64 wanted) {
  const u32 driver = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
  virtio_mmio_write(device, VIRTIO_MMIO_STATUS, 0);
  while (virtio_mmio_read(device, VIRTIO_MMIO_STATUS) != 0) cpu_relax();
  virtio_mmio_write(device, VIRTIO_MMIO_STATUS, driver);
  device->features =
      read_offer(device) & (wanted | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1);
  if (!virtio_mmio_has(device, VIRTIO_F_VERSION_1))
    fatal("the virtio device at 0x%lx is not of version 1", device->base);
  write_choice(device);
  virtio_mmio_write(device, VIRTIO_MMIO_STATUS, driver | STATUS_FEATURES_OK);
  if (!(virtio_mmio_read(device, VIRTIO_MMIO_STATUS) & STATUS_FEATURES_OK))
    fatal("the virtio device at 0x%lx refuses the features 0x%lx", device->base, device->features);
}

static void write_address(const struct virtio_mmio *device, u32 offset, const volatile void *address) {
  virtio_mmio_write(device, offset, (u32)(u64)address);
  virtio_mmio_write(device, offset + 4, (u32)((u64)address >> 32));
}

void virtio_mmio_add_queue(const struct virtio_mmio *device, struct virtqueue *queue, u32 index,
                           u32 size_limit) {
  virtio_mmio_write(device, VIRTIO_MMIO_QUEUE_SELECT, index);
  u32 size_max = virtio_mmio_read(device, VIRTIO_MMIO_QUEUE_SIZE_MAX);
  if (size_max == 0) fatal("the virtio device at 0x%lx has no queue %u", device->base, index);
  virtqueue_create(queue, device, index, (u32)min_u64(size_max, size_limit));
  virtio_mmio_write(device, VIRTIO_MMIO_QUEUE_SIZE, queue->size);
  write_address(device, VIRTIO_MMIO_QUEUE_DESCRIPTORS, queue->descriptors);
  write_address(device, VIRTIO_MMIO_QUEUE_AVAILABLE, queue->available);
  write_address(device, VIRTIO_MMIO_QUEUE_USED, queue->used);
  virtio_mmio_write(device, VIRTIO_MMIO_QUEUE_READY, 1);
}

void virtio_mmio_go(struct virtio_mmio *device) {
  device->vector = interrupts_enable_pin(device->pin);
  virtio_mmio_write(device, VIRTIO_MMIO_STATUS,
                    STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

// The I/O APIC pin is edge-triggered even where the line is a level: the line falls with the acknowledgement,
// so the next arrival is an edge again. All arrivals before it are seen by the poll that follows.
void virtio_mmio_settle_interrupt(const struct virtio_mmio *device) {
  if (!interrupt_pending[device->vector]) return;
  interrupt_pending[device->vector] = 0;
  if (device->acknowledges)
    virtio_mmio_write(device, VIRTIO_MMIO_INTERRUPT_ACK,
                      virtio_mmio_read(device, VIRTIO_MMIO_INTERRUPT_STATUS));
}
