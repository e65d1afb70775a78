/** What the crash test writes: every sector says where it belongs and which write it is part of. */
const SECTOR = 512;
export const BLOCK = 4096;
export const BLOCKS = 48;
export const SECTORS = BLOCKS * 8;
/** Blocks [0, WHOLE_BLOCKS) are written as a whole only, so they must never be a mixture. */
export const WHOLE_BLOCKS = 32;

/** Sectors of version 0 are zeros. */
export function numberedSectors(first: number, count: number, version: number): Uint8Array {
  const bytes = new Uint8Array(count * SECTOR);
  const words = new Uint32Array(bytes.buffer);
  if (version === 0) return bytes;
  words.fill(version);
  for (let i = 0; i < count; i++) words[i * (SECTOR / 4)] = first + i;
  return bytes;
}

/** The version that a sector's bytes are, or undefined if they are none. */
export function versionOf(sector: number, bytes: Uint8Array): number | undefined {
  const version = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
  return Buffer.compare(bytes, numberedSectors(sector, 1, version)) === 0 ? version : undefined;
}
