// Where lwIP calls us besides its callbacks.
#pragma once
#include "lwip/pbuf.h"
#include "lwip/prot/tcp.h"
#include "lwip/tcp.h"

// Every TCP segment passes here on its way out: counts the retransmitted ones (net/retransmits.c).
uint32_t *lwip_hook_tcp_output(struct tcp_hdr *header, const struct tcp_pcb *connection, uint32_t *options);

#define LWIP_HOOK_TCP_OUT_ADD_TCPOPTS(p, hdr, pcb, opts) lwip_hook_tcp_output(hdr, pcb, opts)
