// disk op=verify flushed=N: reads the whole area once, after a crash or a reboot, and judges each sector of
// each block by the order in which an earlier run with the same size, bs and pattern wrote (block_order.h):
//   - a block that writes up to N reached must hold the last of these, or a later one;
//   - another block may also be all zero;
//   - whatever is there must be an undamaged record of that block.
// Sectors of one block may be of different writes (torn) if all of them are later than or equal to what must
// be there: a crash may cut a write that was not flushed.
#include "lib/fatal.h"
#include "workloads/block_record.h"
#include "workloads/disk.h"

// The writes up to `flushed` of the last two passes: every block is in at least one of them, or was never
// written.
void disk_verify_start(struct disk *disk) {
  u64 count = disk->block_count;
  u64 first = disk->flushed / count * count;
  first = first >= count ? first - count : 0;
  block_order_begin(&disk->order, disk->is_random, count, first);
  while (disk->order.sequence < disk->flushed) {
    u64 block = block_order_next(&disk->order);
    disk->sequences[block] = disk->order.sequence;
  }
}

bool disk_verify_issue_next(struct disk *disk) {
  if (disk->verify_next == disk->block_count) return false;
  if (!disk_submit(disk, BLOCK_READ, disk->verify_next, disk->sequences[disk->verify_next])) return false;
  disk->verify_next++;
  return true;
}

static void judge(struct disk *disk, const struct disk_slot *slot) {
  u32 sectors = slot->request.length / RECORD_SECTOR_BYTES, zero_count = 0;
  u64 oldest = ~0ull, newest = 0;
  for (u32 sector = 0; sector < sectors; sector++) {
    u64 sequence = 0;
    enum record_state state = block_record_read(slot->request.data, slot->block, sector, &sequence);
    bool may_be_zero = slot->sequence == 0;
    if (state != RECORD_VALID && !(state == RECORD_ZERO && may_be_zero))
      fatal("disk: sector %u of block %lu is %s; write %lu or a later one must be there", sector, slot->block,
            block_record_state_name(state), slot->sequence);
    if (sequence < slot->sequence)
      fatal("disk: sector %u of block %lu holds write %lu, but write %lu was flushed", sector, slot->block,
            sequence, slot->sequence);
    zero_count += state == RECORD_ZERO;
    oldest = min_u64(oldest, sequence);
    newest = max_u64(newest, sequence);
  }
  if (zero_count == sectors)
    disk->zero++;
  else if (oldest != newest)
    disk->torn++;
  else if (newest == slot->sequence)
    disk->exact++;
  else
    disk->newer++;
  disk->newest = max_u64(disk->newest, newest);
}

void disk_verify_complete(struct disk *disk, struct disk_slot *slot) {
  judge(disk, slot);
  disk->reads++;
  if (disk->reads < disk->block_count) return;
  struct json line;
  json_begin(&line, "verified");
  json_number(&line, "flushed", disk->flushed);
  json_number(&line, "blocks", disk->block_count);
  json_number(&line, "exact", disk->exact);
  json_number(&line, "newer", disk->newer);
  json_number(&line, "torn", disk->torn);
  json_number(&line, "zero", disk->zero);
  json_number(&line, "newest", disk->newest);
  json_send(&line);
}
