// What the TCP clients share: a connection that is tried until the server is there. Once it is open, its loss
// is fatal.
#pragma once
#include "lwip/tcp.h"
#include "workloads/workload.h"

enum connector_state { CONNECTOR_WAITING, CONNECTOR_CONNECTING, CONNECTOR_OPEN };

struct connector {
  struct workload *workload;
  u32 address; // host byte order
  u16 port;
  void (*on_open)(struct connector *connector);
  void (*on_received)(struct connector *connector, const struct pbuf *packet);
  void (*on_sent)(struct connector *connector, u32 bytes); // the server has acknowledged them
  enum connector_state state;
  u64 due_at; // WAITING: try then; CONNECTING: give up then
  struct tcp_pcb *pcb;
};

// Opens the connection by and by; returns when it wants to be called again.
u64 connector_run(struct connector *connector, u64 now);
