#include "net/interface.h"

#include "events.h"
#include "lib/fatal.h"
#include "lib/string.h"
#include "lwip/etharp.h"
#include "lwip/ip.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/tcp.h"
#include "lwip/timeouts.h"

#define RECEIVE_BATCH 64 // frames between two turns of the workloads
#define TCP_CHECKSUM_OFFSET 16
#define ADDRESS_CHECK_MS 1000

// The headers of an outgoing TCP frame, which lwIP keeps in one piece.
struct tcp_frame {
  struct eth_hdr ethernet;
  struct ip_hdr ip;
  struct tcp_hdr tcp;
} __attribute__((packed));

static bool is_tcp(const struct pbuf *frame) {
  const struct tcp_frame *headers = frame->payload;
  return frame->len >= sizeof *headers && headers->ethernet.type == PP_HTONS(ETHTYPE_IP) &&
         headers->ip._proto == IP_PROTO_TCP && IPH_HL_BYTES(&headers->ip) == IP_HLEN;
}

// What the device has to add: the sum over all behind the pseudo header, which we put into the checksum field
// (virtio 1.2, 5.1.6.2).
static void offload_checksum(struct pbuf *frame, struct net_header *header) {
  struct tcp_frame *headers = frame->payload;
  ip4_addr_t source, destination;
  ip4_addr_copy(source, headers->ip.src);
  ip4_addr_copy(destination, headers->ip.dest);
  u16 tcp_length = (u16)(frame->tot_len - SIZEOF_ETH_HDR - IP_HLEN);
  u32 sum = (ip4_addr_get_u32(&source) & 0xffff) + (ip4_addr_get_u32(&source) >> 16);
  sum += (ip4_addr_get_u32(&destination) & 0xffff) + (ip4_addr_get_u32(&destination) >> 16);
  sum += PP_HTONS(IP_PROTO_TCP) + lwip_htons(tcp_length);
  sum = (sum & 0xffff) + (sum >> 16);
  headers->tcp.chksum = (u16)((sum & 0xffff) + (sum >> 16));
  header->flags = NET_HEADER_NEEDS_CHECKSUM;
  header->checksum_start = SIZEOF_ETH_HDR + IP_HLEN;
  header->checksum_offset = TCP_CHECKSUM_OFFSET;
}

static void offload_segmentation(const struct interface *interface, const struct pbuf *frame,
                                 struct net_header *header) {
  if (frame->tot_len <= interface->netif.mtu + SIZEOF_ETH_HDR) return;
  const struct tcp_frame *headers = frame->payload;
  u16 tcp_header_length = TCPH_HDRLEN_BYTES(&headers->tcp);
  header->gso_type = NET_GSO_TCP4;
  header->header_length = (u16)(SIZEOF_ETH_HDR + IP_HLEN + tcp_header_length);
  header->gso_size = (u16)(interface->netif.mtu - IP_HLEN - tcp_header_length);
}

static err_t link_output(struct netif *netif, struct pbuf *frame) {
  struct interface *interface = netif->state;
  struct net_header header = {0};
  if (interface->net.sends_checksums && is_tcp(frame)) {
    offload_checksum(frame, &header);
    if (interface->net.sends_large_frames) offload_segmentation(interface, frame, &header);
  }
  return virtio_net_send(&interface->net, frame, &header) ? ERR_OK : ERR_MEM;
}

static bool poll(void *context) {
  struct interface *interface = context;
  struct netif *netif = &interface->netif;
  bool is_checked, is_any = false;
  virtio_mmio_settle_interrupt(interface->net.device);
  virtio_net_reclaim(&interface->net);
  for (u32 i = 0; i < RECEIVE_BATCH; i++) {
    struct pbuf *frame = virtio_net_receive(&interface->net, &is_checked);
    if (!frame) break;
    is_any = true;
    if (is_checked)
      netif->chksum_flags &= (u16)~NETIF_CHECKSUM_CHECK_TCP;
    else
      netif->chksum_flags |= NETIF_CHECKSUM_CHECK_TCP;
    if (netif->input(frame, netif) != ERR_OK) pbuf_free(frame);
  }
  return is_any;
}

static void flush(void *context) { virtio_net_flush(&((struct interface *)context)->net); }

static bool before_sleep(void *context) {
  return virtio_net_before_sleep(&((struct interface *)context)->net);
}

// The address changes when a snapshot is restored as a clone. The interrupt that tells so is like any other, and reading
// its cause would be an exit for each: looking at the generation once a second is cheaper. Peers learn the new address
// from the announcement; until then what they send to the old one still comes.
static void check_address(void *context) {
  struct interface *interface = context;
  struct netif *netif = &interface->netif;
  sys_timeout(ADDRESS_CHECK_MS, check_address, interface);
  if (!virtio_net_update_config(&interface->net)) return;
  memcpy(netif->hwaddr, interface->net.mac, ETH_HWADDR_LEN);
  etharp_gratuitous(netif);
}

static err_t initialize(struct netif *netif) {
  struct interface *interface = netif->state;
  netif->name[0] = 'v';
  netif->name[1] = 'n';
  netif->mtu = interface->net.mtu;
  netif->hwaddr_len = ETH_HWADDR_LEN;
  memcpy(netif->hwaddr, interface->net.mac, ETH_HWADDR_LEN);
  netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
  netif->output = etharp_output;
  netif->linkoutput = link_output;
  netif->chksum_flags = NETIF_CHECKSUM_ENABLE_ALL;
  if (interface->net.sends_checksums) netif->chksum_flags &= (u16)~NETIF_CHECKSUM_GEN_TCP;
  return ERR_OK;
}

void interface_start(struct interface *interface, struct virtio_mmio *device, const struct network_word *word,
                     u32 gateway) {
  u32 mask = word->prefix_length ? ~0u << (32 - word->prefix_length) : 0;
  ip4_addr_t address = {lwip_htonl(word->address)}, netmask = {lwip_htonl(mask)},
             router = {lwip_htonl(gateway)};
  virtio_net_start(&interface->net, device);
  if (!netif_add(&interface->netif, &address, &netmask, &router, interface, initialize, netif_input))
    fatal("lwIP refuses the network card at 0x%lx", device->base);
  events_add((struct event_source){poll, flush, before_sleep, interface});
  netif_set_up(&interface->netif); // announces the address to the network
  sys_timeout(ADDRESS_CHECK_MS, check_address, interface);
}
