#include "virtio/mmio.h"

#include "lib/fatal.h"

#define MAGIC 0x74726976        // "virt"
#define VENDOR_TSVMM 0x4d565354 // "TSVM"
#define DEVICE_NONE 0

bool virtio_mmio_probe(struct virtio_mmio *device, const struct device_word *word) {
  *device = (struct virtio_mmio){.base = word->address, .pin = word->pin};
  if (virtio_mmio_read(device, VIRTIO_MMIO_MAGIC) != MAGIC) fatal("no virtio-mmio device at 0x%lx", word->address);
  u32 version = virtio_mmio_read(device, VIRTIO_MMIO_VERSION);
  if (version != 2) fatal("the virtio-mmio device at 0x%lx has version %u, not 2", word->address, version);
  device->device_id = virtio_mmio_read(device, VIRTIO_MMIO_DEVICE_ID);
  device->acknowledges = virtio_mmio_read(device, VIRTIO_MMIO_VENDOR_ID) != VENDOR_TSVMM;
  return device->device_id != DEVICE_NONE;
}
