import { DeviceId } from '../constants.ts';
import type { VirtioModel } from '../model.ts';
import { blockConfig } from './config.ts';

export const SECTOR_SIZE = 512;

/** Section 5.2.3. */
export const BlockFeature = {
  SEG_MAX: 1n << 2n,
  RO: 1n << 5n,
  BLK_SIZE: 1n << 6n,
  FLUSH: 1n << 9n,
  TOPOLOGY: 1n << 10n,
  DISCARD: 1n << 13n,
  WRITE_ZEROES: 1n << 14n,
} as const;

/** Section 5.2.6, request types. */
export const RequestType = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8, DISCARD: 11, WRITE_ZEROES: 13 } as const;
export const RequestStatus = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;

export const QUEUE_SIZE = 256;
/** Header and status take a descriptor each. */
const MAXIMUM_SEGMENTS = QUEUE_SIZE - 2;
/** One range of a discard: punching a hole of this size takes the host about 15 ms (ext4, measured). */
export const MAXIMUM_DISCARD_SECTORS = (64 * 1024 * 1024) / SECTOR_SIZE;
export const MAXIMUM_DISCARD_RANGES = 16;
/** The layers below work in blocks of 8 sectors: drivers that know it align partitions and requests. */
const SECTORS_PER_BLOCK_LOG2 = 3;

/** The block device (section 5.2) of a disk of `sectorCount` sectors. */
export function blockModel({ sectorCount, readOnly }: BlockDeviceSize): VirtioModel {
  const config = blockConfig.allocate();
  config.capacity = sectorCount;
  config.seg_max = MAXIMUM_SEGMENTS;
  config.blk_size = SECTOR_SIZE;
  config.topology_physical_block_exp = SECTORS_PER_BLOCK_LOG2;
  config.topology_min_io_size = 1 << SECTORS_PER_BLOCK_LOG2;
  let features = BlockFeature.SEG_MAX | BlockFeature.BLK_SIZE | BlockFeature.FLUSH | BlockFeature.TOPOLOGY;
  if (readOnly) {
    features |= BlockFeature.RO;
  } else {
    features |= BlockFeature.DISCARD | BlockFeature.WRITE_ZEROES;
    config.max_discard_sectors = MAXIMUM_DISCARD_SECTORS;
    config.max_discard_seg = MAXIMUM_DISCARD_RANGES;
    config.discard_sector_alignment = 1 << SECTORS_PER_BLOCK_LOG2;
    config.max_write_zeroes_sectors = MAXIMUM_DISCARD_SECTORS;
    config.max_write_zeroes_seg = MAXIMUM_DISCARD_RANGES;
    config.write_zeroes_may_unmap = 1;
  }
  return { deviceId: DeviceId.BLOCK, features, queueSizes: [QUEUE_SIZE], config: config.bytes };
}

export interface BlockDeviceSize {
  /** Capacity in sectors of 512 bytes. */
  readonly sectorCount: number;
  readonly readOnly: boolean;
}
