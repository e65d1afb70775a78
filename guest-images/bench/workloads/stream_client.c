// Sends an endless stream to a stream-server as fast as TCP takes it.
#include "lib/fatal.h"
#include "lib/parse.h"
#include "lib/random.h"
#include "net/connector.h"
#include "net/stack.h"
#include "net/stream.h"
#include "workloads/workload.h"

#define FULL_RETRY_NS (5 * NS_PER_MS) // lwIP's memory was full

struct stream_client {
  const char *peer; // options
  u64 port;
  struct connector connector;
  u64 id, words; // words given to TCP
  u64 bytes;     // acknowledged by the server
  bool was_full;
};

static const struct option options[] = {
    {"peer", OPTION_TEXT, offsetof(struct stream_client, peer), true, 0, 0, 0, NULL},
    {"port", OPTION_NUMBER, offsetof(struct stream_client, port), true, 0, 1, 65535, NULL},
};

static u64 piece[STACK_PIECE_BYTES_MAX / sizeof(u64)];

// Whole pieces only, which make large segments.
static void send_pieces(struct stream_client *client) {
  u32 bytes = stack_piece_bytes(client->connector.pcb);
  u32 words = bytes / (u32)sizeof(u64);
  client->was_full = false;
  while (tcp_sndbuf(client->connector.pcb) >= bytes) {
    for (u32 i = 0; i < words; i++) piece[i] = stream_word(client->id, client->words + i);
    err_t error = tcp_write(client->connector.pcb, piece, (u16)bytes, TCP_WRITE_FLAG_COPY);
    client->was_full = error == ERR_MEM;
    if (client->was_full) return;
    if (error != ERR_OK) fatal("stream-client: tcp_write failed with %d", error);
    client->words += words;
  }
}

static void on_open(struct connector *connector) {
  struct stream_client *client = connector->workload->state;
  client->id = random_u64();
  send_pieces(client);
}

static void on_received(struct connector *connector, const struct pbuf *packet) {
  (void)connector;
  fatal("stream-client: the server sent %u bytes", packet->tot_len);
}

static void on_sent(struct connector *connector, u32 bytes) {
  struct stream_client *client = connector->workload->state;
  client->bytes += bytes;
  meter_add(&connector->workload->meters[0], clock_now(&cpus[0]), 1);
  send_pieces(client);
}

static void start(struct workload *workload) {
  struct stream_client *client = workload->state;
  if (!stack_is_there()) fatal("stream-client needs a network card: the word ip=A/N");
  const char *cursor = client->peer;
  client->connector = (struct connector){.workload = workload,
                                         .port = (u16)client->port,
                                         .on_open = on_open,
                                         .on_received = on_received,
                                         .on_sent = on_sent};
  if (!parse_ipv4(&cursor, &client->connector.address) || *cursor)
    fatal("bad value in the word peer=%s", client->peer);
}

static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  struct stream_client *client = workload->state;
  (void)cpu;
  u64 until = connector_run(&client->connector, now);
  if (client->connector.state != CONNECTOR_OPEN || !client->was_full) return until;
  send_pieces(client);
  tcp_output(client->connector.pcb);
  return now + FULL_RETRY_NS;
}

static void report(struct workload *workload, struct json *line) {
  const struct stream_client *client = workload->state;
  json_number(line, "bytes", client->bytes);
}

const struct workload_kind workload_stream_client = {
    .name = "stream-client",
    .options = options,
    .option_count = array_length(options),
    .state_size = sizeof(struct stream_client),
    .start = start,
    .run = run,
    .report = report,
};
