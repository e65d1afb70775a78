// Takes the streams of any number of stream-clients and checks every word.
#include "lib/fatal.h"
#include "net/listener.h"
#include "net/stream.h"
#include "net/words.h"
#include "workloads/workload.h"

struct stream {
  struct word_reader reader;
  u64 id, words;
};

struct stream_server {
  u64 port; // option
  u64 bytes;
  struct listener listener;
};

static const struct option options[] = {
    {"port", OPTION_NUMBER, offsetof(struct stream_server, port), true, 0, 1, 65535, NULL},
};

static void take_word(void *context, u64 word) {
  struct stream *stream = context;
  if (stream->words == 1) stream->id = word;
  u64 expected = stream_word(stream->id, stream->words);
  if (word != expected)
    fatal("stream-server: stream %016lx, word %lu: lost, doubled or damaged: expected %016lx, found %016lx",
          stream->id, stream->words, expected, word);
  stream->words++;
}

static void on_open(struct listener_connection *connection) { (void)connection; }

static void on_received(struct listener_connection *connection, const struct pbuf *packet) {
  struct workload *workload = connection->listener->workload;
  struct stream_server *server = workload->state;
  struct stream *stream = connection->state;
  word_reader_feed_packet(&stream->reader, packet, take_word, stream);
  server->bytes += packet->tot_len;
  meter_add(&workload->meters[0], clock_now(&cpus[0]), 1);
}

static bool may_close(struct listener_connection *connection) {
  const struct stream *stream = connection->state;
  return stream->reader.partial_bytes == 0;
}

static void start(struct workload *workload) {
  struct stream_server *server = workload->state;
  server->listener.state_size = sizeof(struct stream);
  server->listener.on_open = on_open;
  server->listener.on_received = on_received;
  server->listener.may_close = may_close;
  listener_start(&server->listener, workload, server->port);
}

static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  (void)workload, (void)cpu, (void)now;
  return TIME_NEVER;
}

static void report(struct workload *workload, struct json *line) {
  const struct stream_server *server = workload->state;
  json_number(line, "bytes", server->bytes);
  json_number(line, "conns", server->listener.open_count);
}

const struct workload_kind workload_stream_server = {
    .name = "stream-server",
    .options = options,
    .option_count = array_length(options),
    .state_size = sizeof(struct stream_server),
    .start = start,
    .run = run,
    .report = report,
};
