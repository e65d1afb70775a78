// Sends requests to one or more servers and waits for the responses, `depth` at a time on each connection.
#include "lib/fatal.h"
#include "lib/parse.h"
#include "memory/memory.h"
#include "net/channel.h"
#include "net/connector.h"
#include "net/stack.h"
#include "workloads/workload.h"

#define CONNECTION_MAX 128
#define FULL_RETRY_NS (5 * NS_PER_MS) // lwIP's memory was full

struct client_connection {
  struct connector connector; // first: its callbacks give us its address
  struct channel channel;
  u64 next_at; // of a limited rate
};

struct client {
  const char *peers; // options
  u64 port, size, connections_per_peer, depth, rate, trace; // rate 0 = full speed
  struct client_connection *connections;
  u32 connection_count, open_count;
};

static const struct option options[] = {
    {"peer", OPTION_TEXT, offsetof(struct client, peers), true, 0, 0, 0, NULL},
    {"port", OPTION_NUMBER, offsetof(struct client, port), true, 0, 1, 65535, NULL},
    {"size", OPTION_SIZE, offsetof(struct client, size), false, 64, MESSAGE_BYTES_MIN, MESSAGE_BYTES_MAX,
     NULL},
    {"conns", OPTION_NUMBER, offsetof(struct client, connections_per_peer), false, 1, 1, CONNECTION_MAX,
     NULL},
    {"depth", OPTION_NUMBER, offsetof(struct client, depth), false, 1, 1, 100000, NULL},
    {"rate", OPTION_RATE, offsetof(struct client, rate), false, 0, 0, 1000000, NULL},
    {"trace", OPTION_NUMBER, offsetof(struct client, trace), false, 0, 0, ~0ull, NULL},
};

static const struct client *client_of(const struct connector *connector) {
  return connector->workload->state;
}

static void send_requests(struct client_connection *connection) {
  const struct client *client = client_of(&connection->connector);
  struct channel *channel = &connection->channel;
  u64 limit = channel->received + client->depth;
  if (client->rate == 0) {
    channel_send(channel, limit);
    return;
  }
  u64 now = clock_now(&cpus[0]), before = channel->sent;
  if (now < connection->next_at) return;
  channel_send(channel, min_u64(limit, before + 1));
  // What was missed while the VM stood still is not made up for.
  if (channel->sent != before) connection->next_at = max_u64(connection->next_at + NS_PER_S / client->rate, now);
}

static void on_open(struct connector *connector) {
  struct client_connection *connection = (struct client_connection *)connector;
  struct client *client = connector->workload->state;
  u32 length = (u32)(client->size + 7) & ~7u;
  client->open_count++;
  channel_open(&connection->channel, connector->workload, connector->pcb, true, length, client->trace);
  send_requests(connection);
}

static void on_received(struct connector *connector, const struct pbuf *packet) {
  struct client_connection *connection = (struct client_connection *)connector;
  u64 before = connection->channel.received;
  channel_receive(&connection->channel, packet);
  u64 completed = connection->channel.received - before;
  if (completed) meter_add(&connector->workload->meters[0], clock_now(&cpus[0]), completed);
  send_requests(connection);
}

static void on_sent(struct connector *connector, u32 bytes) {
  (void)bytes;
  send_requests((struct client_connection *)connector);
}

static u64 run_connection(struct client_connection *connection, u64 now) {
  const struct channel *channel = &connection->channel;
  u64 until = connector_run(&connection->connector, now);
  if (connection->connector.state != CONNECTOR_OPEN) return until;
  // Normally the callbacks send; but if lwIP was full, no callback may be to come.
  if (channel->sent >= channel->received + client_of(&connection->connector)->depth) return TIME_NEVER;
  send_requests(connection);
  tcp_output(connection->connector.pcb);
  return connection->next_at > now ? connection->next_at : now + FULL_RETRY_NS;
}

static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  struct client *client = workload->state;
  u64 until = TIME_NEVER;
  (void)cpu;
  for (u32 i = 0; i < client->connection_count; i++)
    until = min_u64(until, run_connection(&client->connections[i], now));
  return until;
}

static void add_peer(struct workload *workload, u32 address) {
  struct client *client = workload->state;
  for (u64 i = 0; i < client->connections_per_peer; i++) {
    if (client->connection_count == CONNECTION_MAX)
      fatal("tcp-client: more than %u connections", CONNECTION_MAX);
    client->connections[client->connection_count++].connector = (struct connector){.workload = workload,
                                                                                   .address = address,
                                                                                   .port = (u16)client->port,
                                                                                   .on_open = on_open,
                                                                                   .on_received = on_received,
                                                                                   .on_sent = on_sent};
  }
}

static void start(struct workload *workload) {
  struct client *client = workload->state;
  if (!stack_is_there()) fatal("tcp-client needs a network card: the word ip=A/N");
  client->connections = memory_take(CONNECTION_MAX * sizeof *client->connections, 64);
  const char *cursor = client->peers;
  do {
    u32 address;
    if (!parse_ipv4(&cursor, &address) || (*cursor && *cursor != ','))
      fatal("bad value in the word peer=%s", client->peers);
    add_peer(workload, address);
  } while (*cursor++ == ',');
}

static void report(struct workload *workload, struct json *line) {
  const struct client *client = workload->state;
  json_number(line, "conns", client->open_count);
}

const struct workload_kind workload_tcp_client = {
    .name = "tcp-client",
    .options = options,
    .option_count = array_length(options),
    .state_size = sizeof(struct client),
    .start = start,
    .run = run,
    .report = report,
};
