// A network card as lwIP sees it.
#pragma once
#include "lwip/netif.h"
#include "settings.h"
#include "virtio/net.h"

struct interface {
  struct netif netif;
  struct virtio_net net;
};

void interface_start(struct interface *interface, struct virtio_mmio *device, const struct network_word *word,
                     u32 gateway);
