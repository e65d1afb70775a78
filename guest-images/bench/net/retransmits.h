// Counts the segments that TCP sends again; lwIP itself does not.
#pragma once
#include "lib/types.h"
#include "lwip/tcp.h"

// Retransmissions of this connection, and of those that it accepts, add to *counter.
void retransmits_count_in(struct tcp_pcb *connection, u64 *counter);
