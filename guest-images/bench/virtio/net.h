// virtio-net (virtio 1.2, section 5.1): frames in and out as lwIP packet buffers, without a copy.
#pragma once
#include "lwip/pbuf.h"
#include "virtio/mmio.h"
#include "virtio/queue.h"

#define NET_BACKLOG_MAX 256

struct net_header { // struct virtio_net_hdr_v1
  u8 flags, gso_type;
  u16 header_length, gso_size, checksum_start, checksum_offset, buffer_count;
};

struct net_receive_buffer;

struct virtio_net {
  struct virtio_mmio *device;
  struct virtqueue receive, transmit;
  u8 mac[6];
  u16 mtu;
  u32 config_generation;   // with which these two were read
  bool sends_checksums;    // the device completes TCP checksums
  bool sends_large_frames; // the device cuts TCP segments larger than the MTU
  u32 receive_buffer_bytes;
  struct net_receive_buffer *receive_buffers, *free_buffers;
  struct pbuf *backlog[NET_BACKLOG_MAX]; // frames for which the transmit queue had no room, a ring
  u32 backlog_first, backlog_count;
};

void virtio_net_start(struct virtio_net *net, struct virtio_mmio *device);

// Reads address and MTU again if the device says that its configuration has changed since; false if not.
bool virtio_net_update_config(struct virtio_net *net);

// Queues the frame with this header (whose checksum and gso fields the caller has set) and keeps a reference
// until it is sent. Sees to it that the transmit queue is shown to the device later. False if there is no
// room.
bool virtio_net_send(struct virtio_net *net, struct pbuf *frame, const struct net_header *header);

// The next received frame, and whether its TCP checksum is known to be right; null if there is none.
struct pbuf *virtio_net_receive(struct virtio_net *net, bool *is_checked);

// Lets go of frames that are sent; sends what waits in the backlog.
void virtio_net_reclaim(struct virtio_net *net);

void virtio_net_flush(struct virtio_net *net);
bool virtio_net_before_sleep(struct virtio_net *net);

#define NET_HEADER_NEEDS_CHECKSUM 1
#define NET_HEADER_CHECKSUM_VALID 2
#define NET_GSO_NONE 0
#define NET_GSO_TCP4 1
