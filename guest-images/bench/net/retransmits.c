#include "net/retransmits.h"

#include "lwip/def.h"
#include "net/lwip_hooks.h"

#define COUNTER_ARGUMENT 0 // the only extra argument of a connection

static err_t inherit(u8_t id, struct tcp_pcb_listen *listener, struct tcp_pcb *accepted);

static const struct tcp_ext_arg_callbacks callbacks = {.passive_open = inherit};

static err_t inherit(u8_t id, struct tcp_pcb_listen *listener, struct tcp_pcb *accepted) {
  tcp_ext_arg_set_callbacks(accepted, id, &callbacks);
  tcp_ext_arg_set(accepted, id, listener->ext_args[id].data);
  return ERR_OK;
}

void retransmits_count_in(struct tcp_pcb *connection, u64 *counter) {
  tcp_ext_arg_set_callbacks(connection, COUNTER_ARGUMENT, &callbacks);
  tcp_ext_arg_set(connection, COUNTER_ARGUMENT, counter);
}

// snd_nxt is what was sent at most; it moves only after the hook. (A client's SYN does not move it.)
static bool is_sent_again(const struct tcp_hdr *header, const struct tcp_pcb *connection) {
  if (TCPH_FLAGS(header) & TCP_SYN) return connection->nrtx > 0;
  return (s32)(lwip_ntohl(header->seqno) - connection->snd_nxt) < 0;
}

uint32_t *lwip_hook_tcp_output(struct tcp_hdr *header, const struct tcp_pcb *connection, uint32_t *options) {
  bool is_counted = connection && is_sent_again(header, connection);
  u64 *counter = is_counted ? tcp_ext_arg_get(connection, COUNTER_ARGUMENT) : NULL;
  if (counter) ++*counter;
  return options;
}
