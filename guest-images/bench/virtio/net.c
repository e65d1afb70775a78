#include "virtio/net.h"

#include "lib/fatal.h"
#include "lib/string.h"
#include "memory/memory.h"

// Feature bits (virtio 1.2, 5.1.3).
#define F_CSUM (1ull << 0)
#define F_GUEST_CSUM (1ull << 1)
#define F_MTU (1ull << 3)
#define F_MAC (1ull << 5)
#define F_GUEST_TSO4 (1ull << 7)
#define F_HOST_TSO4 (1ull << 11)
#define F_MRG_RXBUF (1ull << 15)

#define CONFIG_MAC 0
#define CONFIG_MTU 10

#define RECEIVE_QUEUE 0
#define TRANSMIT_QUEUE 1
#define QUEUE_SIZE 256

#define MTU_DEFAULT 1500
#define BUFFER_BYTES_SMALL 2048 // one frame of the default MTU
#define BUFFER_BYTES_LARGE 4096 // large frames span several
#define BUFFERS_SPARE 128       // that TCP may hold back, out of order, while the queue stays full

struct net_receive_buffer {
  struct pbuf_custom pbuf; // first: lwIP gives us its address when it is done
  struct virtio_net *net;
  u8 *data;
  struct net_receive_buffer *next_free;
};

static void free_receive_buffer(struct pbuf *pbuf) {
  struct net_receive_buffer *buffer = (struct net_receive_buffer *)pbuf;
  buffer->next_free = buffer->net->free_buffers;
  buffer->net->free_buffers = buffer;
}

static void refill(struct virtio_net *net) {
  while (net->free_buffers) {
    struct net_receive_buffer *buffer = net->free_buffers;
    struct virtq_segment segment = {(u64)buffer->data, net->receive_buffer_bytes};
    if (!virtqueue_add(&net->receive, &segment, 0, 1, buffer)) return;
    net->free_buffers = buffer->next_free;
  }
}

static void create_receive_buffers(struct virtio_net *net) {
  u32 count = net->receive.size + BUFFERS_SPARE;
  net->receive_buffers = memory_take(count * sizeof *net->receive_buffers, 64);
  u8 *data = memory_take((u64)count * net->receive_buffer_bytes, PAGE_BYTES);
  for (u32 i = count; i-- > 0;) {
    struct net_receive_buffer *buffer = &net->receive_buffers[i];
    buffer->net = net;
    buffer->data = data + (u64)i * net->receive_buffer_bytes;
    buffer->pbuf.custom_free_function = free_receive_buffer;
    free_receive_buffer(&buffer->pbuf.pbuf);
  }
}

// Large frames, by MTU or by segmentation offload, only with mergeable buffers: else each buffer had to hold
// one whole.
static void negotiate(struct virtio_mmio *device) {
  virtio_mmio_negotiate(device,
                        F_CSUM | F_GUEST_CSUM | F_MTU | F_MAC | F_GUEST_TSO4 | F_HOST_TSO4 | F_MRG_RXBUF);
  if (virtio_mmio_has(device, F_MRG_RXBUF)) return;
  if (!virtio_mmio_has(device, F_GUEST_TSO4 | F_MTU)) return;
  virtio_mmio_negotiate(device, F_CSUM | F_GUEST_CSUM | F_MAC | F_HOST_TSO4);
}

static void read_config(struct virtio_net *net) {
  net->config_generation = virtio_mmio_read(net->device, VIRTIO_MMIO_CONFIG_GENERATION);
  for (u32 i = 0; i < sizeof net->mac; i++) net->mac[i] = virtio_mmio_config8(net->device, CONFIG_MAC + i);
  net->mtu = MTU_DEFAULT;
  if (virtio_mmio_has(net->device, F_MTU)) net->mtu = virtio_mmio_config16(net->device, CONFIG_MTU);
  if (!virtio_mmio_has(net->device, F_MAC))
    fatal("the network device at 0x%lx has no MAC address", net->device->base);
}

bool virtio_net_update_config(struct virtio_net *net) {
  if (virtio_mmio_read(net->device, VIRTIO_MMIO_CONFIG_GENERATION) == net->config_generation) return false;
  read_config(net);
  return true;
}

void virtio_net_start(struct virtio_net *net, struct virtio_mmio *device) {
  *net = (struct virtio_net){.device = device};
  negotiate(device);
  read_config(net);
  net->sends_checksums = virtio_mmio_has(device, F_CSUM);
  net->sends_large_frames = net->sends_checksums && virtio_mmio_has(device, F_HOST_TSO4);
  bool is_large = virtio_mmio_has(device, F_GUEST_TSO4) || net->mtu > MTU_DEFAULT;
  net->receive_buffer_bytes = is_large ? BUFFER_BYTES_LARGE : BUFFER_BYTES_SMALL;
  virtio_mmio_add_queue(device, &net->receive, RECEIVE_QUEUE, QUEUE_SIZE);
  virtio_mmio_add_queue(device, &net->transmit, TRANSMIT_QUEUE, QUEUE_SIZE);
  create_receive_buffers(net);
  refill(net);
  virtio_mmio_go(device);
}

// ---- Sending ----

// The header lies in front of the frame, in the first packet buffer's headroom.
static bool queue_frame(struct virtio_net *net, struct pbuf *frame) {
  struct virtq_segment segments[VIRTQUEUE_SEGMENT_MAX];
  u32 count = 0;
  for (struct pbuf *part = frame; part; part = part->next)
    segments[count++] = (struct virtq_segment){(u64)part->payload, part->len};
  segments[0].address -= sizeof(struct net_header);
  segments[0].length += sizeof(struct net_header);
  return virtqueue_add(&net->transmit, segments, count, 0, frame);
}

// A frame that we own and that has headroom and not too many parts: the given one, or a copy.
static struct pbuf *take_frame(struct pbuf *frame, const struct net_header *header) {
  struct pbuf *taken = frame;
  bool fits = pbuf_clen(frame) <= VIRTQUEUE_SEGMENT_MAX && pbuf_add_header(frame, sizeof *header) == 0;
  if (fits)
    pbuf_ref(frame);
  else
    taken = pbuf_clone(PBUF_RAW_TX, PBUF_RAM, frame);
  if (!taken) return NULL;
  if (!fits) pbuf_add_header(taken, sizeof *header);
  memcpy(taken->payload, header, sizeof *header);
  pbuf_remove_header(taken, sizeof *header);
  return taken;
}

bool virtio_net_send(struct virtio_net *net, struct pbuf *frame, const struct net_header *header) {
  if (net->backlog_count == NET_BACKLOG_MAX) return false;
  struct pbuf *taken = take_frame(frame, header);
  if (!taken) return false;
  if (net->backlog_count == 0 && queue_frame(net, taken)) return true;
  net->backlog[(net->backlog_first + net->backlog_count++) % NET_BACKLOG_MAX] = taken;
  return true;
}

void virtio_net_reclaim(struct virtio_net *net) {
  u32 length;
  for (struct pbuf *frame; (frame = virtqueue_take(&net->transmit, &length));) pbuf_free(frame);
  while (net->backlog_count && queue_frame(net, net->backlog[net->backlog_first])) {
    net->backlog_first = (net->backlog_first + 1) % NET_BACKLOG_MAX;
    net->backlog_count--;
  }
}

void virtio_net_flush(struct virtio_net *net) {
  refill(net);
  virtqueue_publish(&net->receive);
  virtqueue_publish(&net->transmit);
}

// Sent frames only interrupt when others wait for their room.
bool virtio_net_before_sleep(struct virtio_net *net) {
  bool is_quiet = virtqueue_want_interrupt(&net->receive);
  if (net->backlog_count) return virtqueue_want_interrupt(&net->transmit) && is_quiet;
  virtqueue_forgo_interrupt(&net->transmit);
  return is_quiet;
}

// ---- Receiving ----

static struct pbuf *wrap(struct net_receive_buffer *buffer, u32 skipped, u32 length) {
  if (length > buffer->net->receive_buffer_bytes || length < skipped)
    fatal("virtio-net: a received buffer of %u bytes", length);
  u16 frame_length = (u16)(length - skipped);
  return pbuf_alloced_custom(PBUF_RAW, frame_length, PBUF_REF, &buffer->pbuf, buffer->data + skipped,
                             frame_length);
}

// TCP may hold frames back for long (out of order, on many connections). Before the device runs out of
// buffers, frames are copied, so that the buffers are free at once. Null if there is no memory: the frame is
// dropped.
static struct pbuf *copy_if_scarce(struct virtio_net *net, struct pbuf *frame) {
  refill(net);
  if (net->receive.free_count <= net->receive.size / 2) return frame;
  struct pbuf *copy = pbuf_clone(PBUF_RAW, PBUF_RAM, frame);
  pbuf_free(frame);
  return copy;
}

// There is one.
static struct pbuf *receive_one(struct virtio_net *net, bool *is_checked) {
  u32 length;
  struct net_receive_buffer *buffer = virtqueue_take(&net->receive, &length);
  const struct net_header *header = (const struct net_header *)buffer->data;
  *is_checked = header->flags & (NET_HEADER_NEEDS_CHECKSUM | NET_HEADER_CHECKSUM_VALID);
  u32 buffer_count = virtio_mmio_has(net->device, F_MRG_RXBUF) ? header->buffer_count : 1;
  struct pbuf *frame = wrap(buffer, sizeof *header, length);
  for (u32 i = 1; i < buffer_count; i++) {
    buffer = virtqueue_take(&net->receive, &length);
    if (!buffer) fatal("virtio-net: a frame of %u buffers of which only %u came", buffer_count, i);
    pbuf_cat(frame, wrap(buffer, 0, length));
  }
  return frame;
}

struct pbuf *virtio_net_receive(struct virtio_net *net, bool *is_checked) {
  while (virtqueue_has_completed(&net->receive)) {
    struct pbuf *frame = copy_if_scarce(net, receive_one(net, is_checked));
    if (frame) return frame;
  }
  return NULL;
}
