// How lwIP is configured: no operating system, IPv4 with TCP, ICMP echo and ARP, its own heap and pools.
#pragma once

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define LWIP_TIMERS 1

#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 1
#define LWIP_ICMP 1
#define LWIP_TCP 1
#define LWIP_UDP 0
#define LWIP_RAW 0
#define LWIP_DHCP 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0 // frames larger than the MTU are cut by the network device (see net/netif.c)

// Memory.
#define MEM_ALIGNMENT 16
#define MEM_LIBC_MALLOC 0
#define MEM_SIZE (8 << 20)
#define MEMP_NUM_TCP_PCB 256
#define MEMP_NUM_TCP_PCB_LISTEN 16
#define MEMP_NUM_TCP_SEG 2048
#define MEMP_NUM_PBUF 2048
#define PBUF_POOL_SIZE 16 // received frames stay in the driver's buffers
// One for each network card: see net/interface.c.
#define MEMP_NUM_SYS_TIMEOUT (LWIP_NUM_SYS_TIMEOUT_INTERNAL + 4)
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define LWIP_NETIF_TX_SINGLE_PBUF 0

// The driver puts the 12 bytes of its header in front of the Ethernet header. A multiple of 4.
#define PBUF_LINK_ENCAPSULATION_HLEN 16

// TCP. A segment may be as large as an IP packet, for large MTUs and for segmentation offload; what is
// announced to the peer follows the MTU.
#define TCP_MSS 65160
#define TCP_CALCULATE_EFF_SEND_MSS 1
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 5
#define TCP_WND (1 << 20)
#define TCP_SND_BUF (1 << 20)
#define TCP_OVERSIZE 0 // we write large pieces
#define TCP_SNDLOWAT (TCP_SND_BUF / 2)
#define TCP_SND_QUEUELEN 1024
#define TCP_OOSEQ_MAX_PBUFS 128
#define TCP_LISTEN_BACKLOG 0
#define TCP_TMR_INTERVAL 50 // ms: delayed acknowledgements; the retransmission clock ticks every 100 ms
// ms, of a new connection (lwIP 2.1 has 3000 built in); it adapts down to about 300.
#define LWIP_TCP_RTO_TIME 1000
#define TCP_MSL 1000                     // ms; ports of closed connections are free again after two of these
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1 // they take 4 * TCP_MSS for a 16-bit number

// Each connection carries a pointer to its counters, for the retransmission hook below.
#define LWIP_TCP_PCB_NUM_EXT_ARGS 1
#define LWIP_HOOK_FILENAME "net/lwip_hooks.h"

#define LWIP_HOOK_TCP_ISN(local_address, local_port, remote_address, remote_port) LWIP_RAND()

// Checksums: whether each is computed is decided for each network card, and for each frame.
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHKSUM_ALGORITHM 3

#define LWIP_STATS 0
#define LWIP_NETIF_STATUS_CALLBACK 0
#define LWIP_SINGLE_NETIF 0
