#include "net/stack.h"

#include "cpu/clock.h"
#include "lib/fatal.h"
#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/tcp.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "memory/memory.h"
#include "net/interface.h"
#include "virtio/devices.h"

static bool is_there;

void stack_start(void) {
  for (u32 i = 0; i < NETWORK_MAX; i++) {
    if (!settings.networks[i].is_given) continue;
    struct virtio_mmio *device = devices_find(VIRTIO_ID_NET, i);
    if (!device) fatal("there is no network card %u for the address that was given", i);
    if (!is_there) lwip_init();
    struct interface *interface = memory_take(sizeof *interface, 64);
    interface_start(interface, device, &settings.networks[i], is_there ? 0 : settings.gateway);
    if (!is_there) netif_set_default(&interface->netif);
    is_there = true;
  }
}

bool stack_is_there(void) { return is_there; }

// Without connections all that is left is housekeeping (ARP, our own address), for which the whole second of the guest's
// clock does as well: an idle guest then wakes up once a second, for this and its stat line together.
u64 stack_run(u64 now) {
  if (!is_there) return TIME_NEVER;
  sys_check_timeouts();
  u32 wait_ms = sys_timeouts_sleeptime();
  if (wait_ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE) return TIME_NEVER;
  u64 until = now + wait_ms * NS_PER_MS;
  return tcp_active_pcbs || tcp_tw_pcbs ? until : clock_next_second(until);
}

// lwIP has no segmentation offload, but all it needs is a larger segment size after the handshake: the peer
// was told the real one, and the card cuts to that (interface.c).
void stack_enlarge_segments(struct tcp_pcb *connection) {
  struct netif *netif = ip_route(&connection->local_ip, &connection->remote_ip);
  const struct interface *interface = netif ? netif->state : NULL;
  if (!interface || !interface->net.sends_large_frames) return;
  u16 wire_size = (u16)(netif->mtu - IP_HLEN - TCP_HLEN);
  if (connection->mss != wire_size) return; // the peer wants smaller ones
  connection->mss = (u16)(TCP_MSS / wire_size * wire_size);
  // lwIP expects a congestion window of one segment at least.
  if (connection->cwnd < connection->mss) connection->cwnd = connection->mss;
}

u32 stack_piece_bytes(const struct tcp_pcb *connection) {
  u32 segment = tcp_mss(connection);
  return STACK_PIECE_BYTES_MAX / segment * segment & ~7u;
}
