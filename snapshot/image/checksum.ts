import { crc32 } from '@node-rs/crc32';
import type { Hva } from '../../vmm/memory/address.ts';
import { look } from '../../vmm/memory/window.ts';

/** CRC-32 (ITU-T V.42, as zlib's) of memory. Of all that the saver does with a chunk this once took longest. */
export const checksumOf = (address: Hva, length: number): number => crc32(look(address, length));
