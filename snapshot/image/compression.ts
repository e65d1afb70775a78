import { TsvmmError } from '../../vmm/errors.ts';
import type { CFunction } from '../../vmm/ffi/backend.ts';
import { backend } from '../../vmm/ffi/index.ts';
import type { Hva } from '../../vmm/memory/address.ts';
import type { Compression } from './compression-names.ts';

/** Both work on memory by address, allocate no JavaScript memory, and stay within the lengths that they are given. */
export interface Codec {
  /** Answers the bytes written, or 0 when they would be more than `capacity`. */
  compress(to: Hva, capacity: number, from: Hva, length: number): number;
  /** Answers the bytes written; anything but `capacity` means that the input is not what compress() made of so many. */
  decompress(to: Hva, capacity: number, from: Hva, length: number): number;
}

/** The quickest of zstd: higher levels save a few percent more, at two to four times the time. */
const ZSTD_LEVEL = 1;
const codecs = new Map<Compression, Codec>();

/** Throws TSVMM_E_TOOL_MISSING where the library is not installed. */
export function codecOf(compression: Exclude<Compression, 'none'>): Codec {
  let codec = codecs.get(compression);
  if (codec === undefined) {
    codec = compression === 'zstd' ? zstd() : lz4();
    codecs.set(compression, codec);
  }
  return codec;
}

/** zstd.h, "Simple API": results are size_t, errors those close to the largest one, which are negative as int64_t. */
function zstd(): Codec {
  const library = 'libzstd.so.1';
  const compress = load(library, 'ZSTD_compress', ['address', 'u64', 'address', 'u64', 'i32'], 'i64');
  const decompress = load(library, 'ZSTD_decompress', ['address', 'u64', 'address', 'u64'], 'i64');
  return {
    compress: (to, capacity, from, length) => Math.max(0, compress(to, capacity, from, length, ZSTD_LEVEL)),
    decompress: (to, capacity, from, length) => decompress(to, capacity, from, length),
  };
}

/** lz4.h, "Simple Functions": sources come first, and are below 2 GiB. */
function lz4(): Codec {
  const library = 'liblz4.so.1';
  const compress = load(library, 'LZ4_compress_default', ['address', 'address', 'i32', 'i32'], 'i32');
  const decompress = load(library, 'LZ4_decompress_safe', ['address', 'address', 'i32', 'i32'], 'i32');
  return {
    compress: (to, capacity, from, length) => Math.max(0, compress(from, to, length, capacity)),
    decompress: (to, capacity, from, length) => decompress(from, to, length, capacity),
  };
}

function load(
  library: string,
  symbol: string,
  parameters: Parameters<typeof backend.bindFrom>[3],
  result: 'i32' | 'i64',
): CFunction {
  try {
    return backend.bindFrom(library, symbol, result, parameters);
  } catch (cause) {
    const name = library.slice(0, library.indexOf('.'));
    throw new TsvmmError('TSVMM_E_TOOL_MISSING', `${library} cannot be loaded`, {
      hint: `install the distribution's package of ${name} (Debian: ${name === 'libzstd' ? 'libzstd1' : 'liblz4-1'}), or do without --compress`,
      cause,
    });
  }
}
