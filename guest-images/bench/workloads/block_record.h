// What the workload `disk` writes into a block: every 512-byte sector tells which block it belongs to and
// which write of the run it is, and carries a checksum, so each sector can be judged by itself: damaged,
// misplaced, stale or torn.
//
// A sector is 64 words of 64 bits, little-endian: magic, number of the block, sequence number of the write,
// number of the sector in the block, a payload that follows from these, and a checksum (lib/checksum.h) of
// the 63 words before.
#pragma once
#include "lib/types.h"

#define RECORD_SECTOR_BYTES 512

void block_record_write(u8 *data, u32 length, u64 block, u64 sequence);

// What a sector holds.
enum record_state { RECORD_VALID, RECORD_ZERO, RECORD_DAMAGED, RECORD_MISPLACED };

// Looks at sector `sector` of a block that was read; *sequence is set if it is RECORD_VALID.
enum record_state block_record_read(const u8 *data, u64 block, u32 sector, u64 *sequence);

const char *block_record_state_name(enum record_state state);
