// Writes, reads and checks blocks of a virtio-blk disk, several requests at a time.
#include "workloads/disk.h"

#include "lib/fatal.h"
#include "memory/memory.h"
#include "virtio/devices.h"
#include "workloads/block_record.h"

#define SIZE_FALLBACK (1ull << 30)
#define TURN_BYTES (1 << 20) // that are filled or checked between two turns of other work
#define RATE_BACKLOG_NS (100 * NS_PER_MS)

static const char *const operations[] = {"write", "read", "mixed", "verify", NULL};
static const char *const patterns[] = {"seq", "random", NULL};

static const struct option options[] = {
    {"size", OPTION_SIZE, offsetof(struct disk, size), false, 0, 4096, 1ull << 44, NULL},
    {"op", OPTION_CHOICE, offsetof(struct disk, operation), false, DISK_WRITE, 0, 0, operations},
    {"depth", OPTION_NUMBER, offsetof(struct disk, depth), false, 1, 1, DISK_DEPTH_MAX, NULL},
    {"bs", OPTION_SIZE, offsetof(struct disk, block_bytes), false, 4096, BLOCK_SECTOR_BYTES, 1 << 20, NULL},
    {"flush", OPTION_NUMBER, offsetof(struct disk, flush_every), false, 0, 0, ~0ull, NULL},
    {"pattern", OPTION_CHOICE, offsetof(struct disk, is_random), false, 0, 0, 0, patterns},
    {"flushed", OPTION_NUMBER, offsetof(struct disk, flushed), false, 0, 0, ~0ull, NULL},
    {"start", OPTION_NUMBER, offsetof(struct disk, start), false, 0, 0, ~0ull, NULL},
    {"disk", OPTION_NUMBER, offsetof(struct disk, index), false, 0, 0, 15, NULL},
    {"rate", OPTION_RATE, offsetof(struct disk, rate), false, 0, 0, 1000000, NULL},
};

static void free_slot(struct disk *disk, struct disk_slot *slot) {
  slot->next_free = disk->free_slots;
  disk->free_slots = slot;
}

bool disk_submit(struct disk *disk, enum block_operation operation, u64 block, u64 sequence) {
  struct disk_slot *slot = disk->free_slots;
  if (!slot) return false;
  slot->operation = operation;
  slot->block = block;
  slot->sequence = sequence;
  if (operation == BLOCK_WRITE) block_record_write(slot->request.data, slot->request.length, block, sequence);
  if (!virtio_block_submit(&disk->device, operation, block * disk->block_bytes, &slot->request)) return false;
  disk->free_slots = slot->next_free;
  disk->in_flight++;
  if (operation != BLOCK_FLUSH) disk->is_busy[block] = true;
  return true;
}

static void complete(struct disk *disk, struct disk_slot *slot) {
  if (slot->request.status != 0) {
    disk->workload->errors++;
    fatal("disk: a request of type %u for block %lu failed with status %u", slot->request.header.type,
          slot->block, slot->request.status);
  }
  disk->in_flight--;
  if (slot->operation != BLOCK_FLUSH) {
    disk->is_busy[slot->block] = false;
    meter_add(&disk->workload->meters[0], clock_now(&cpus[0]), 1);
  }
  if (disk->operation == DISK_VERIFY)
    disk_verify_complete(disk, slot);
  else
    disk_complete(disk, slot);
  free_slot(disk, slot);
}

// How many requests a limited rate allows now.
static u64 take_credit(struct disk *disk, u64 now) {
  if (disk->rate == 0) return ~0ull;
  u64 elapsed = disk->credited_at ? min_u64(now - disk->credited_at, RATE_BACKLOG_NS) : 0;
  disk->credited_at = now;
  disk->credit = min_u64(disk->credit + elapsed * disk->rate, RATE_BACKLOG_NS * disk->rate + NS_PER_S);
  return disk->credit / NS_PER_S;
}

static u64 run(struct workload *workload, struct cpu *cpu, u64 now) {
  struct disk *disk = workload->state;
  u64 turns = max_u64(TURN_BYTES / disk->block_bytes, 1);
  (void)cpu;
  for (u64 i = 0; i < turns; i++) {
    struct block_request *request = virtio_block_take(&disk->device);
    if (!request) break;
    complete(disk, container_of(request, struct disk_slot, request));
  }
  u64 allowed = take_credit(disk, now), issued = 0;
  bool (*issue_next)(struct disk *) =
      disk->operation == DISK_VERIFY ? disk_verify_issue_next : disk_issue_next;
  while (issued < min_u64(turns, allowed) && issue_next(disk)) issued++;
  if (disk->rate) disk->credit -= issued * NS_PER_S;
  if (issued == turns) return RUN_AGAIN;
  if (disk->rate == 0) return TIME_NEVER; // a completion comes, or there is nothing left to do
  return disk->in_flight == disk->depth ? TIME_NEVER : now + max_u64(NS_PER_S / disk->rate, NS_PER_MS);
}

static void check_options(struct disk *disk) {
  if (disk->block_bytes % BLOCK_SECTOR_BYTES)
    fatal("disk: bs=%lu is not a multiple of %u", disk->block_bytes, BLOCK_SECTOR_BYTES);
  if (disk->size == 0) disk->size = min_u64(disk->device.capacity_bytes, SIZE_FALLBACK);
  if (disk->size > disk->device.capacity_bytes)
    fatal("disk: size=%lu is more than the disk's %lu bytes", disk->size, disk->device.capacity_bytes);
  disk->block_count = disk->size / disk->block_bytes;
  if (disk->block_count < 2 * disk->depth)
    fatal("disk: %lu blocks are too few for depth=%lu", disk->block_count, disk->depth);
  if (disk->operation != DISK_VERIFY && disk->device.is_read_only) fatal("disk: the disk is read-only");
  if (disk->flush_every && !disk->device.can_flush) fatal("disk: the device cannot flush");
}

static void start(struct workload *workload) {
  struct disk *disk = workload->state;
  struct virtio_mmio *device = devices_find(VIRTIO_ID_BLOCK, (u32)disk->index);
  if (!device) fatal("disk: there is no disk %lu", disk->index);
  disk->workload = workload;
  virtio_block_start(&disk->device, device);
  check_options(disk);
  disk->sequences = memory_take(disk->block_count * sizeof(u64), 64);
  disk->is_busy = memory_take(disk->block_count, 64);
  u8 *data = memory_take(disk->depth * disk->block_bytes, PAGE_BYTES);
  for (u64 i = disk->depth; i-- > 0;) {
    disk->slots[i].request.data = data + i * disk->block_bytes;
    disk->slots[i].request.length = (u32)disk->block_bytes;
    free_slot(disk, &disk->slots[i]);
  }
  if (disk->operation == DISK_VERIFY)
    disk_verify_start(disk);
  else
    block_order_begin(&disk->order, disk->is_random, disk->block_count, disk->start);
}

static void report(struct workload *workload, struct json *line) {
  const struct disk *disk = workload->state;
  json_number(line, "reads", disk->reads);
  json_number(line, "writes", disk->writes);
  json_number(line, "flushes", disk->flushes);
}

const struct workload_kind workload_disk = {
    .name = "disk",
    .options = options,
    .option_count = array_length(options),
    .state_size = sizeof(struct disk),
    .start = start,
    .run = run,
    .report = report,
};
