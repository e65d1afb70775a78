// The one-way byte stream of stream-client and stream-server: 64-bit words, little-endian. Word 0 is the
// magic, word 1 an id that the client chose at random, word n >= 2 is id + n * STREAM_STEP, so a byte lost,
// doubled or damaged shows.
#pragma once
#include "lib/types.h"

#define STREAM_MAGIC 0x6d616572747376ull // "vstream"
#define STREAM_STEP 0x9e3779b97f4a7c15

static inline u64 stream_word(u64 id, u64 index) {
  if (index == 0) return STREAM_MAGIC;
  return index == 1 ? id : id + index * STREAM_STEP;
}
