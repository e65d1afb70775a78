#include "workloads/block_record.h"

#include "lib/checksum.h"

#define MAGIC 0x6b7369646d767374ull // "tsvmdisk" in memory
#define WORDS (RECORD_SECTOR_BYTES / sizeof(u64))
#define PAYLOAD_STEP 0x9e3779b97f4a7c15

enum { WORD_MAGIC, WORD_BLOCK, WORD_SEQUENCE, WORD_SECTOR, WORD_PAYLOAD, WORD_CHECKSUM = WORDS - 1 };

static void write_sector(u64 *words, u64 block, u64 sequence, u64 sector) {
  struct checksum checksum = {0, 0};
  words[WORD_MAGIC] = MAGIC;
  words[WORD_BLOCK] = block;
  words[WORD_SEQUENCE] = sequence;
  words[WORD_SECTOR] = sector;
  u64 payload = mix_u64(block ^ mix_u64(sequence ^ sector << 48));
  for (u32 i = WORD_PAYLOAD; i < WORD_CHECKSUM; i++) words[i] = payload += PAYLOAD_STEP;
  for (u32 i = 0; i < WORD_CHECKSUM; i++) checksum_add(&checksum, words[i]);
  words[WORD_CHECKSUM] = checksum_value(&checksum);
}

void block_record_write(u8 *data, u32 length, u64 block, u64 sequence) {
  for (u32 sector = 0; sector < length / RECORD_SECTOR_BYTES; sector++)
    write_sector((u64 *)(data + sector * RECORD_SECTOR_BYTES), block, sequence, sector);
}

static bool is_zero(const u64 *words) {
  u64 bits = 0;
  for (u32 i = 0; i < WORDS; i++) bits |= words[i];
  return bits == 0;
}

static bool has_right_checksum(const u64 *words) {
  struct checksum checksum = {0, 0};
  for (u32 i = 0; i < WORD_CHECKSUM; i++) checksum_add(&checksum, words[i]);
  return words[WORD_CHECKSUM] == checksum_value(&checksum);
}

enum record_state block_record_read(const u8 *data, u64 block, u32 sector, u64 *sequence) {
  const u64 *words = (const u64 *)(data + sector * RECORD_SECTOR_BYTES);
  if (is_zero(words)) return RECORD_ZERO;
  if (words[WORD_MAGIC] != MAGIC || !has_right_checksum(words)) return RECORD_DAMAGED;
  if (words[WORD_BLOCK] != block || words[WORD_SECTOR] != sector) return RECORD_MISPLACED;
  *sequence = words[WORD_SEQUENCE];
  return RECORD_VALID;
}

const char *block_record_state_name(enum record_state state) {
  static const char *const names[] = {"valid", "all zero", "damaged", "of another block"};
  return names[state];
}
