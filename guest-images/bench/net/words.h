// Makes 64-bit words of the bytes of a TCP connection, which come in pieces of any length.
#pragma once
#include "lib/string.h"
#include "lib/types.h"
#include "lwip/pbuf.h"

struct word_reader {
  u64 partial;
  u32 partial_bytes;
};

// Calls take(context, word) for every word that is complete with the bytes of this piece.
static inline void word_reader_feed(struct word_reader *reader, const u8 *data, u32 length,
                                    void (*take)(void *context, u64 word), void *context) {
  while (reader->partial_bytes && length) {
    ((u8 *)&reader->partial)[reader->partial_bytes++] = *data++;
    length--;
    if (reader->partial_bytes < sizeof(u64)) continue;
    reader->partial_bytes = 0;
    take(context, reader->partial);
  }
  for (; length >= sizeof(u64); data += sizeof(u64), length -= (u32)sizeof(u64)) {
    u64 word;
    __builtin_memcpy(&word, data, sizeof word);
    take(context, word);
  }
  if (length) memcpy(&reader->partial, data, length);
  reader->partial_bytes += length;
}

// The same for all pieces of a received packet.
static inline void word_reader_feed_packet(struct word_reader *reader, const struct pbuf *packet,
                                           void (*take)(void *context, u64 word), void *context) {
  for (const struct pbuf *part = packet; part; part = part->next)
    word_reader_feed(reader, part->payload, part->len, take, context);
}
