// Request and response messages over one TCP connection, each direction numbered and checksummed. What
// arrives must be exactly what the other side sent, in order; anything else is fatal.
//
// A message is a row of 64-bit words, little-endian:
//   word 0      low half: magic of the direction; high half: length of the message in bytes
//   word 1      sequence number, from 0 on each connection and in each direction
//   word 2      id of the connection, chosen at random by the client
//   words 3..   payload: seed + index * PAYLOAD_STEP, seed from sequence number, id and direction
//   last word   checksum (lib/checksum.h) of all words before
#pragma once
#include "lib/checksum.h"
#include "lwip/tcp.h"
#include "net/words.h"
#include "workloads/workload.h"

#define MESSAGE_BYTES_MIN 32
#define MESSAGE_BYTES_MAX (16 << 20)

struct channel {
  struct workload *workload;
  struct tcp_pcb *connection;
  bool is_client;
  u64 id;     // a server learns it from the first message
  u32 length; // of every message in both directions; a server learns it too
  u64 trace;  // print every n-th message, 0 = none
  u64 sent, received;
  struct {
    u32 word; // index of the next word
    u64 payload;
    struct checksum checksum;
  } out;
  struct {
    struct word_reader reader;
    u32 word;
    struct checksum checksum;
  } in;
};

// For a new connection. `length` is a multiple of 8; a server passes 0.
void channel_open(struct channel *channel, struct workload *workload, struct tcp_pcb *connection,
                  bool is_client, u32 length, u64 trace);

// Sends messages until `sent` is `limit` or TCP takes no more; to be called again when it may.
void channel_send(struct channel *channel, u64 limit);

// Checks what has come; counts complete messages in `received`.
void channel_receive(struct channel *channel, const struct pbuf *packet);
