// State of the workload `disk`, shared by its files: disk.c (options, start, requests), disk_write.c (write,
// read and mixed), disk_verify.c (verify).
#pragma once
#include "virtio/block.h"
#include "workloads/block_order.h"
#include "workloads/workload.h"

#define DISK_DEPTH_MAX 256

enum disk_operation { DISK_WRITE, DISK_READ, DISK_MIXED, DISK_VERIFY };

struct disk_slot { // one request
  struct block_request request;
  enum block_operation operation;
  u64 block, sequence;
  struct disk_slot *next_free;
};

struct disk {
  u64 size, operation, depth, block_bytes, flush_every, is_random, flushed, start, index, rate; // options
  struct workload *workload;
  struct virtio_block device;
  u64 block_count;
  struct disk_slot slots[DISK_DEPTH_MAX];
  struct disk_slot *free_slots;
  u32 in_flight;
  struct block_order order; // of the writes
  u64 *sequences; // by block: the latest completed write (verify: the write that must be there); 0 = none
  u8 *is_busy;    // by block: a request for it is in flight
  u64 reads, writes, flushes;
  u64 credit, credited_at; // of a limited rate: requests * ns
  // write, read, mixed
  u64 writes_since_flush;
  bool is_flushing;
  bool is_filled; // read: all blocks are written
  u64 read_cursor;
  // verify
  u64 verify_next, exact, newer, torn, zero, newest;
};

// Queues a request for a block in a free slot. False if there is none, or the queue is full.
bool disk_submit(struct disk *disk, enum block_operation operation, u64 block, u64 sequence);

// disk_write.c: queues what comes next, if anything may; false if not now.
bool disk_issue_next(struct disk *disk);
void disk_complete(struct disk *disk, struct disk_slot *slot);

// disk_verify.c
void disk_verify_start(struct disk *disk);
bool disk_verify_issue_next(struct disk *disk);
void disk_verify_complete(struct disk *disk, struct disk_slot *slot);
