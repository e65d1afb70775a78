import { memcpy } from '../../vmm/ffi/libc.ts';
import { type Hva, hvaOffset, PAGE_SIZE } from '../../vmm/memory/address.ts';
import { allocateNative } from '../../vmm/memory/native.ts';
import { type Codec, codecOf } from '../image/compression.ts';
import type { Compression } from '../image/compression-names.ts';
import { FrameTable } from '../image/frame-table.ts';
import { PageState } from '../image/page-map.ts';
import type { ImageFile } from './image-file.ts';

/** How the pages of a chunk come into the image file. */
export interface ChunkStore {
  /** Writes those pages of the chunk at `address` whose state is DATA. */
  put(chunk: number, address: Hva, states: Uint8Array, count: number): void;
  /** Takes back what was put before for a chunk, if anything was. */
  forget(chunk: number, length: number): void;
  /** Where chunks lie; empty when that follows from their number. */
  readonly frames: Uint8Array;
  /** Length that the file has when all is put; undefined: the length of RAM. */
  readonly end: number | undefined;
  free(): void;
}

export const chunkStore = (
  file: ImageFile,
  compression: Compression,
  chunkSize: number,
  chunkCount: number,
): ChunkStore =>
  compression === 'none'
    ? new SparseStore(file, chunkSize)
    : new PackedStore(file, codecOf(compression), chunkSize, chunkCount);

/** Page p lies at p * 4 KiB; all that is not DATA is a hole. */
class SparseStore implements ChunkStore {
  readonly frames = new Uint8Array(0);
  readonly end = undefined;
  private readonly file: ImageFile;
  private readonly chunkSize: number;

  constructor(file: ImageFile, chunkSize: number) {
    this.file = file;
    this.chunkSize = chunkSize;
  }

  put(chunk: number, address: Hva, states: Uint8Array, count: number): void {
    forEachRun(states, count, (first, end) =>
      this.file.write(
        hvaOffset(address, first * PAGE_SIZE),
        (end - first) * PAGE_SIZE,
        chunk * this.chunkSize + first * PAGE_SIZE,
      ),
    );
  }

  forget(chunk: number, length: number): void {
    this.file.punch(chunk * this.chunkSize, length);
  }

  free(): void {}
}

/**
 * The DATA pages of each chunk, put together and compressed, one chunk after another as they are saved. Gathered first: a
 * compressor must not be given memory that a guest may change meanwhile.
 */
class PackedStore implements ChunkStore {
  private readonly table: FrameTable;
  private readonly file: ImageFile;
  private readonly codec: Codec;
  private readonly gathered;
  private readonly packed;
  private length = 0;

  constructor(file: ImageFile, codec: Codec, chunkSize: number, chunkCount: number) {
    this.file = file;
    this.codec = codec;
    this.table = new FrameTable(new Uint8Array(FrameTable.size(chunkCount)));
    this.gathered = allocateNative(chunkSize, { huge: true });
    this.packed = allocateNative(chunkSize, { huge: true });
  }

  get frames(): Uint8Array {
    return this.table.bytes;
  }

  get end(): number {
    return this.length;
  }

  put(chunk: number, address: Hva, states: Uint8Array, count: number): void {
    const { gathered, packed, codec } = this;
    let length = 0;
    forEachRun(states, count, (first, end) => {
      const bytes = (end - first) * PAGE_SIZE;
      memcpy(hvaOffset(gathered.address, length), hvaOffset(address, first * PAGE_SIZE), bytes);
      length += bytes;
    });
    if (length === 0) return;
    // What does not become shorter is stored as it is: a frame as long as its content says so.
    const packedLength = codec.compress(packed.address, length - 1, gathered.address, length);
    const [from, bytes] = packedLength > 0 ? [packed, packedLength] : [gathered, length];
    this.file.write(from.address, bytes, this.length);
    this.table.set(chunk, this.length, bytes);
    this.length += bytes;
  }

  forget(chunk: number): void {
    const offset = this.table.offset(chunk);
    const length = this.table.length(chunk);
    this.table.set(chunk, 0, 0);
    if (length === 0) return;
    if (offset + length === this.length) this.length = offset;
    else this.file.punch(offset, length);
  }

  free(): void {
    this.gathered.free();
    this.packed.free();
  }
}

function forEachRun(states: Uint8Array, count: number, visit: (first: number, end: number) => void): void {
  for (let first = 0, end = 0; first < count; first = end) {
    const state = states[first];
    for (end = first + 1; end < count && states[end] === state; end++);
    if (state === PageState.DATA) visit(first, end);
  }
}
