#include "net/retransmits.h"

#include "lwip/def.h"
#include "net/lwip_hooks.h"

#define COUNTER_ARGUMENT 0 // the only extra argument of a connection

static const struct tcp_ext_arg_callbacks no_callbacks;

void retransmits_count_in(struct tcp_pcb *connection, u64 *counter) {
  tcp_ext_arg_set_callbacks(connection, COUNTER_ARGUMENT, &no_callbacks);
  tcp_ext_arg_set(connection, COUNTER_ARGUMENT, counter);
}

uint32_t *lwip_hook_tcp_output(struct tcp_hdr *header, const struct tcp_pcb *connection, uint32_t *options) {
  // snd_nxt is what was sent at most; it moves only after this call.
  bool is_again = connection && (s32)(lwip_ntohl(header->seqno) - connection->snd_nxt) < 0;
  u64 *counter = is_again ? tcp_ext_arg_get(connection, COUNTER_ARGUMENT) : NULL;
  if (counter) ++*counter;
  return options;
}
