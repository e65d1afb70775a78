#include "virtio/devices.h"

#include "virtio/rng.h"

static struct virtio_mmio devices[DEVICE_MAX];
static u32 device_count;

struct virtio_mmio *devices_find(u32 device_id, u32 n) {
  for (u32 i = 0; i < device_count; i++)
    if (devices[i].device_id == device_id && n-- == 0) return &devices[i];
  return NULL;
}

void devices_start(void) {
  for (u32 i = 0; i < settings.device_count; i++)
    if (virtio_mmio_probe(&devices[device_count], &settings.devices[i])) device_count++;
  struct virtio_mmio *rng = devices_find(VIRTIO_ID_RNG, 0);
  if (rng) rng_start(rng);
}
