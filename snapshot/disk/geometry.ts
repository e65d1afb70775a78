import { TsvmmError } from '../../vmm/errors.ts';
import { alignUp, KIB } from '../../vmm/memory/address.ts';

export const SECTOR_SIZE = 512;
/**
 * Small random writes must not be made bigger: with blocks of 4 KiB, those of a guest's file system are never copied
 * up, and a block's first write costs the same as any other (docs/disk-format.md has the figures for 64 KiB).
 */
export const MINIMUM_BLOCK_SIZE = 4 * KIB;
export const MAXIMUM_BLOCK_SIZE = 64 * KIB;
/** Bounds the tables in memory, and those that a hostile file can ask for: 256 MiB of owners, 64 MiB of map. */
const MAXIMUM_BLOCKS = 2 ** 28;
export const MAXIMUM_DISK_SIZE = MAXIMUM_BLOCKS * MAXIMUM_BLOCK_SIZE;

/** How a disk is divided into blocks; all its layers agree on it. */
export interface DiskGeometry {
  /** Capacity in bytes, a multiple of 512. */
  readonly size: number;
  /** Bytes that are written first into a layer, or copied into it, as a whole. */
  readonly blockSize: number;
  readonly blockCount: number;
  /** Where a layer's data ends: `size`, rounded up to whole blocks. */
  readonly dataEnd: number;
}

/**
 * The geometry of a disk of `size` bytes, with the smallest block size that its tables allow if none is given.
 * Throws TSVMM_E_DISK when there is no such disk.
 */
export function diskGeometry(size: number, blockSize = smallestBlockSize(size)): DiskGeometry {
  if (!Number.isSafeInteger(size) || size <= 0 || size % SECTOR_SIZE !== 0 || size > MAXIMUM_DISK_SIZE) {
    throw new TsvmmError('TSVMM_E_DISK', `a disk cannot have ${size} bytes`, {
      hint: `give a multiple of ${SECTOR_SIZE} bytes, at most ${MAXIMUM_DISK_SIZE / 2 ** 40} TiB`,
    });
  }
  const blockCount = Math.ceil(size / blockSize);
  if (!isBlockSize(blockSize) || blockCount > MAXIMUM_BLOCKS) {
    throw new TsvmmError('TSVMM_E_DISK', `a disk of ${size} bytes cannot have blocks of ${blockSize} bytes`);
  }
  return { size, blockSize, blockCount, dataEnd: alignUp(size, blockSize) };
}

const isBlockSize = (size: number): boolean =>
  size >= MINIMUM_BLOCK_SIZE && size <= MAXIMUM_BLOCK_SIZE && (size & (size - 1)) === 0;

function smallestBlockSize(size: number): number {
  let blockSize = MINIMUM_BLOCK_SIZE;
  while (size / blockSize > MAXIMUM_BLOCKS && blockSize < MAXIMUM_BLOCK_SIZE) blockSize *= 2;
  return blockSize;
}

export const sameGeometry = (a: DiskGeometry, b: DiskGeometry): boolean =>
  a.size === b.size && a.blockSize === b.blockSize;
