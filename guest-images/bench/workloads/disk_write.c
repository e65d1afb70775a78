// disk op=write|read|mixed. Writes follow block_order.h. With flush=N, every N writes are followed by a
// flush, as a barrier: all of them are complete before it, and none follows until it is complete and
// reported.
#include "lib/fatal.h"
#include "lib/random.h"
#include "workloads/block_record.h"
#include "workloads/disk.h"

static bool issue_flush(struct disk *disk) {
  if (disk->in_flight) return false;
  if (!disk_submit(disk, BLOCK_FLUSH, 0, disk->order.sequence)) return false;
  disk->is_flushing = true;
  return true;
}

static bool issue_write(struct disk *disk) {
  struct block_order after = disk->order;
  u64 block = block_order_next(&after);
  if (disk->is_busy[block]) return false; // one request at a time for each block
  if (!disk_submit(disk, BLOCK_WRITE, block, after.sequence)) return false;
  disk->order = after;
  disk->writes_since_flush++;
  return true;
}

// A block that was written in this run and is not in use, from a random or the next place on; false if there
// is none.
static bool choose_read(struct disk *disk, u64 *block) {
  u64 first = disk->is_random ? random_u64() % disk->block_count : disk->read_cursor;
  u64 tries = min_u64(disk->block_count, 2 * DISK_DEPTH_MAX);
  for (u64 i = 0; i < tries; i++) {
    *block = (first + i) % disk->block_count;
    if (disk->sequences[*block] && !disk->is_busy[*block]) return true;
  }
  return false;
}

static bool issue_read(struct disk *disk) {
  u64 block;
  if (!choose_read(disk, &block)) return false;
  if (!disk_submit(disk, BLOCK_READ, block, disk->sequences[block])) return false;
  disk->read_cursor = (block + 1) % disk->block_count;
  return true;
}

bool disk_issue_next(struct disk *disk) {
  if (disk->is_flushing) return false;
  if (disk->flush_every && disk->writes_since_flush == disk->flush_every) return issue_flush(disk);
  if (disk->operation == DISK_WRITE) return issue_write(disk);
  if (disk->operation == DISK_MIXED) return (random_u64() & 1 && issue_read(disk)) || issue_write(disk);
  if (disk->is_filled) return issue_read(disk);
  return disk->order.sequence < disk->start + disk->block_count && issue_write(disk);
}

static void check_read(const struct disk_slot *slot) {
  for (u32 sector = 0; sector < slot->request.length / RECORD_SECTOR_BYTES; sector++) {
    u64 sequence = 0;
    enum record_state state = block_record_read(slot->request.data, slot->block, sector, &sequence);
    if (state != RECORD_VALID)
      fatal("disk: sector %u of block %lu is %s, expected write %lu", sector, slot->block,
            block_record_state_name(state), slot->sequence);
    if (sequence != slot->sequence)
      fatal("disk: sector %u of block %lu holds write %lu, expected write %lu", sector, slot->block, sequence,
            slot->sequence);
  }
}

static void report_flushed(u64 sequence) {
  struct json line;
  json_begin(&line, "flushed");
  json_number(&line, "seq", sequence);
  json_send(&line);
}

void disk_complete(struct disk *disk, struct disk_slot *slot) {
  switch (slot->operation) {
    case BLOCK_WRITE:
      disk->writes++;
      disk->sequences[slot->block] = slot->sequence;
      if (disk->writes == disk->block_count) disk->is_filled = true;
      break;
    case BLOCK_READ:
      disk->reads++;
      check_read(slot);
      break;
    case BLOCK_FLUSH:
      disk->flushes++;
      disk->is_flushing = false;
      disk->writes_since_flush = 0;
      report_flushed(slot->sequence);
      break;
  }
}
