// What the TCP servers share: listening, and one record for each connection.
#pragma once
#include "lwip/tcp.h"
#include "workloads/workload.h"

#define LISTENER_CONNECTION_MAX 240

struct listener;

struct listener_connection {
  struct listener *listener;
  struct tcp_pcb *pcb; // null: the record is free
  void *state;         // `state_size` bytes
};

struct listener {
  struct workload *workload;
  size_t state_size;
  void (*on_open)(struct listener_connection *connection);
  void (*on_received)(struct listener_connection *connection, const struct pbuf *packet);
  void (*on_sent)(struct listener_connection *connection); // may be null
  // The peer has closed; true if it may at this moment.
  bool (*may_close)(struct listener_connection *connection);
  struct listener_connection connections[LISTENER_CONNECTION_MAX];
  u32 open_count;
};

void listener_start(struct listener *listener, struct workload *workload, u64 port);
