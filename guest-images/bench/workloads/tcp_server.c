// Answers the requests of any number of tcp-clients, each with a response of the same length.
#include "net/channel.h"
#include "net/listener.h"
#include "workloads/workload.h"

#define FULL_RETRY_NS (5 * NS_PER_MS) // lwIP's memory was full

struct server {
  u64 port, trace; // options
  struct listener listener;
};

static const struct option options[] = {
    {"port", OPTION_NUMBER, offsetof(struct server, port), true, 0, 1, 65535, NULL},
    {"trace", OPTION_NUMBER, offsetof(struct server, trace), false, 0, 0, ~0ull, NULL},
};

static void on_open(struct listener_connection *connection) {
  struct workload *workload = connection->listener->workload;
  const struct server *server = workload->state;
  channel_open(connection->state, workload, connection->pcb, false, 0, server->trace);
}

static void respond(struct listener_connection *connection) {
  struct channel *channel = connection->state;
  u64 before = channel->sent;
  channel_send(channel, channel->received);
  if (channel->sent != before)
    meter_add(&channel->workload->meters[0], clock_now(&cpus[0]), channel->sent - before);
}

static void on_received(struct listener_connection *connection, const struct pbuf *packet) {
  channel_receive(connection->state, packet);
  respond(connection);
}

static bool may_close(struct listener_connection *connection) {
  const struct channel *channel = connection->state;
  return channel->in.word == 0 && channel->in.reader.partial_bytes == 0 && channel->sent == channel->received;
}

static void start(struct workload *workload) {
  struct server *server = workload->state;
  server->listener.state_size = sizeof(struct channel);
  server->listener.on_open = on_open;
  server->listener.on_received = on_received;
  server->listener.on_sent = respond;
  server->listener.may_close = may_close;
  listener_start(&server->listener, workload, server->port);
}

// Normally the callbacks respond; but if lwIP was full, no callback may be to come.
static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  struct server *server = workload->state;
  u64 until = TIME_NEVER;
  (void)cpu;
  for (u32 i = 0, seen = 0; seen < server->listener.open_count; i++) {
    struct listener_connection *connection = &server->listener.connections[i];
    if (!connection->pcb) continue;
    seen++;
    const struct channel *channel = connection->state;
    if (channel->sent == channel->received) continue;
    respond(connection);
    tcp_output(connection->pcb);
    until = now + FULL_RETRY_NS;
  }
  return until;
}

static void report(struct workload *workload, struct json *line) {
  const struct server *server = workload->state;
  json_number(line, "conns", server->listener.open_count);
}

const struct workload_kind workload_tcp_server = {
    .name = "tcp-server",
    .options = options,
    .option_count = array_length(options),
    .state_size = sizeof(struct server),
    .start = start,
    .run = run,
    .report = report,
};
