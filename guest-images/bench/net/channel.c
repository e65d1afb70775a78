#include "net/channel.h"

#include "lib/fatal.h"
#include "lib/format.h"
#include "lwip/ip4_addr.h"
#include "net/stack.h"

#define MAGIC_REQUEST 0x51767374  // "tsvQ" in memory
#define MAGIC_RESPONSE 0x52767374 // "tsvR"
#define PAYLOAD_STEP 0x9e3779b97f4a7c15

#define WORD_MAGIC 0
#define WORD_SEQUENCE 1
#define WORD_ID 2

static u64 scratch[STACK_PIECE_BYTES_MAX / sizeof(u64)]; // what goes to lwIP in one piece

static u32 last_word(const struct channel *channel) { return channel->length / (u32)sizeof(u64) - 1; }
static u32 magic_out(const struct channel *channel) {
  return channel->is_client ? MAGIC_REQUEST : MAGIC_RESPONSE;
}
static u32 magic_in(const struct channel *channel) {
  return channel->is_client ? MAGIC_RESPONSE : MAGIC_REQUEST;
}

void channel_open(struct channel *channel, struct workload *workload, struct tcp_pcb *connection,
                  bool is_client, u32 length, u64 trace) {
  *channel = (struct channel){.workload = workload,
                              .connection = connection,
                              .is_client = is_client,
                              .length = length,
                              .trace = trace};
  if (is_client) channel->id = random_u64();
}

static void describe_peer(const struct channel *channel, char *text, u32 size) {
  u32 address = lwip_ntohl(ip4_addr_get_u32(&channel->connection->remote_ip));
  format_text(text, size, "%u.%u.%u.%u:%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
              address & 255, channel->connection->remote_port);
}

static void trace(const struct channel *channel, const char *direction, u64 sequence) {
  if (channel->trace == 0 || sequence % channel->trace != 0) return;
  char peer[32], id[20];
  describe_peer(channel, peer, sizeof peer);
  format_text(id, sizeof id, "%016lx", channel->id);
  struct json line;
  json_begin(&line, "msg");
  json_string(&line, "workload", channel->workload->kind->name);
  json_string(&line, "peer", peer);
  json_string(&line, "id", id);
  json_number(&line, "seq", sequence);
  json_string(&line, "dir", direction);
  json_send(&line);
}

// ---- Sending ----

static u64 first_payload(const struct channel *channel, u64 sequence, u32 magic) {
  return mix_u64(channel->id ^ mix_u64(sequence) ^ magic);
}

// Writes the next words of the current message, up to `room`; returns how many. Counts the message when it is
// whole.
static u32 fill(struct channel *channel, u64 *words, u32 room) {
  u32 last = last_word(channel), count = 0;
  for (; count < room && channel->out.word <= last; count++, channel->out.word++) {
    switch (channel->out.word) {
      case WORD_MAGIC:
        channel->out.checksum = (struct checksum){0, 0};
        channel->out.payload = first_payload(channel, channel->sent, magic_out(channel));
        words[count] = magic_out(channel) | (u64)channel->length << 32;
        break;
      case WORD_SEQUENCE: words[count] = channel->sent; break;
      case WORD_ID: words[count] = channel->id; break;
      default:
        words[count] =
            channel->out.word == last ? checksum_value(&channel->out.checksum) : channel->out.payload;
        channel->out.payload += PAYLOAD_STEP;
    }
    checksum_add(&channel->out.checksum, words[count]);
  }
  if (channel->out.word <= last) return count;
  channel->out.word = 0;
  channel->sent++;
  return count;
}

// One write of as much as fits. False if nothing could be written.
static bool send_piece(struct channel *channel, u64 limit) {
  struct channel before = *channel;
  u32 room = (u32)min_u64(tcp_sndbuf(channel->connection), stack_piece_bytes(channel->connection)) /
             (u32)sizeof(u64);
  u32 count = 0;
  while (count < room && channel->sent < limit) count += fill(channel, scratch + count, room - count);
  if (count == 0) return false;
  err_t error = tcp_write(channel->connection, scratch, (u16)(count * sizeof(u64)), TCP_WRITE_FLAG_COPY);
  if (error == ERR_OK) {
    for (u64 sequence = before.sent; sequence < channel->sent; sequence++) trace(channel, "send", sequence);
    return true;
  }
  if (error != ERR_MEM) fatal("%s: tcp_write failed with %d", channel->workload->kind->name, error);
  *channel = before; // lwIP is full now
  return false;
}

void channel_send(struct channel *channel, u64 limit) {
  while (channel->sent < limit && send_piece(channel, limit)) {
  }
}

// ---- Receiving ----

_Noreturn static void refuse(const struct channel *channel, const char *what, u64 expected, u64 found) {
  char peer[32];
  describe_peer(channel, peer, sizeof peer);
  fatal("%s: message %lu from %s, connection %016lx: %s: expected %lx, found %lx",
        channel->workload->kind->name, channel->received, peer, channel->id, what, expected, found);
}

static void check_word(const struct channel *channel, const char *what, u64 expected, u64 found) {
  if (expected != found) refuse(channel, what, expected, found);
}

static void take_magic(struct channel *channel, u64 word) {
  check_word(channel, "damaged, not a message", magic_in(channel), (u32)word);
  u32 length = (u32)(word >> 32);
  if (channel->length == 0 && length >= MESSAGE_BYTES_MIN && length <= MESSAGE_BYTES_MAX &&
      length % sizeof(u64) == 0)
    channel->length = length;
  check_word(channel, "damaged length", channel->length, length);
  channel->in.checksum = (struct checksum){0, 0};
}

static void take_id(struct channel *channel, u64 word) {
  if (!channel->is_client && channel->received == 0) channel->id = word;
  check_word(channel, "message of another connection", channel->id, word);
}

static void take_word(void *context, u64 word) {
  struct channel *channel = context;
  u32 index = channel->in.word++;
  if (index == WORD_MAGIC)
    take_magic(channel, word);
  else if (index == WORD_SEQUENCE)
    check_word(channel, "lost, duplicated or reordered: sequence number", channel->received, word);
  else if (index == WORD_ID)
    take_id(channel, word);
  else if (index == last_word(channel)) {
    check_word(channel, "damaged, checksum", checksum_value(&channel->in.checksum), word);
    trace(channel, "recv", channel->received);
    channel->in.word = 0;
    channel->received++;
    return;
  }
  checksum_add(&channel->in.checksum, word);
}

void channel_receive(struct channel *channel, const struct pbuf *packet) {
  word_reader_feed_packet(&channel->in.reader, packet, take_word, channel);
}
