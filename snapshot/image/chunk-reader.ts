import { checked } from '../../vmm/ffi/errno.ts';
import { memcpy, memset, pread } from '../../vmm/ffi/libc.ts';
import { type Hva, hvaOffset, PAGE_SIZE } from '../../vmm/memory/address.ts';
import { allocateNative, type NativeMemory } from '../../vmm/memory/native.ts';
import { checksumOf } from './checksum.ts';
import { isZeroPage } from './compare-pages.ts';
import { codecOf } from './compression.ts';
import { FrameTable } from './frame-table.ts';
import type { MemoryImage, MemorySource } from './memory-source.ts';
import { PageMap, PageState } from './page-map.ts';
import { corrupt } from './struct-codec.ts';

interface OpenImage extends MemoryImage {
  readonly map: PageMap;
  readonly table: FrameTable;
}

/** Of no image: the page is all zero. */
const NOBODY = -1;

/**
 * Reads chunks of a snapshot's memory, each page from the newest image of the chain that has it, and checks them. For
 * one thread; free() gives its buffers back, the files stay open.
 */
export class ChunkReader {
  private readonly source: MemorySource;
  private readonly images: readonly OpenImage[];
  /** Of each page of the chunk being read, the image it comes from. */
  private readonly owners: Int8Array;
  private packed: NativeMemory | undefined;
  private unpacked: NativeMemory | undefined;

  constructor(source: MemorySource) {
    this.source = source;
    this.owners = new Int8Array(source.chunkSize / PAGE_SIZE);
    this.images = source.images.map(image => ({
      ...image,
      map: new PageMap(image.states),
      table: new FrameTable(image.frames),
    }));
  }

  chunkLength(chunk: number): number {
    return Math.min(this.source.chunkSize, this.source.length - chunk * this.source.chunkSize);
  }

  /** Whether the chunk is all zero. */
  isZero(chunk: number): boolean {
    return this.source.chunks[chunk] === null;
  }

  /**
   * Puts the content of a chunk to `to`, which has room for it; `isZeroed` says that there are zeros already. Throws
   * TSVMM_E_SNAPSHOT_CORRUPT, also for a file that ends too soon.
   */
  read(chunk: number, to: Hva, { isZeroed = false } = {}): void {
    const expected = this.source.chunks[chunk];
    const length = this.chunkLength(chunk);
    if (expected === null || expected === undefined) {
      if (!isZeroed) memset(to, 0, length);
      return;
    }
    this.fill(chunk, to, isZeroed);
    if (checksumOf(to, length) !== expected) {
      const [own] = this.images as [OpenImage, ...OpenImage[]];
      throw corrupt(own.name, `has a wrong checksum in chunk ${chunk}`);
    }
  }

  /** As read(), but neither trusts nor compares the checksum. */
  fill(chunk: number, to: Hva, isZeroed = false): void {
    const { owners } = this;
    const first = chunk * owners.length;
    const count = this.chunkLength(chunk) / PAGE_SIZE;
    for (let page = 0; page < count; page++) owners[page] = this.ownerOf(first + page);
    for (let from = 0, end = 0; from < count; from = end) {
      const owner = owners[from] as number;
      for (end = from + 1; end < count && owners[end] === owner; end++);
      const at = hvaOffset(to, from * PAGE_SIZE);
      const length = (end - from) * PAGE_SIZE;
      if (owner === NOBODY) {
        if (!isZeroed) memset(at, 0, length);
        continue;
      }
      const image = this.images[owner] as OpenImage;
      if (image.compression === 'none') readFully(image, at, length, (first + from) * PAGE_SIZE);
    }
    for (const [i, image] of this.images.entries())
      if (image.compression !== 'none' && owners.subarray(0, count).includes(i)) this.unpack(i, chunk, to);
  }

  /**
   * Whether the snapshot's own file has nothing where its map says that it has nothing. `scratch` has room for a chunk.
   * Nobody would read that; but what verifying does not look at could be anything.
   */
  isTidy(chunk: number, scratch: Hva): boolean {
    const [own] = this.images as [OpenImage, ...OpenImage[]];
    if (own.compression !== 'none') return true;
    const first = chunk * this.owners.length;
    const length = this.chunkLength(chunk);
    readFully(own, scratch, length, first * PAGE_SIZE);
    for (let page = 0; page < length / PAGE_SIZE; page++) {
      if (own.map.get(first + page) === PageState.DATA) continue;
      if (!isZeroPage(hvaOffset(scratch, page * PAGE_SIZE))) return false;
    }
    return true;
  }

  free(): void {
    this.packed?.free();
    this.unpacked?.free();
    this.packed = undefined;
    this.unpacked = undefined;
  }

  private ownerOf(page: number): number {
    for (let i = 0; i < this.images.length; i++) {
      const state = (this.images[i] as OpenImage).map.get(page);
      if (state !== PageState.INHERITED) return state === PageState.DATA ? i : NOBODY;
    }
    // The last image inherits nothing, which was checked when its map was read.
    return NOBODY;
  }

  /** Decompresses a chunk's frame, and copies those of its pages that the image owns. */
  private unpack(owner: number, chunk: number, to: Hva): void {
    const { owners } = this;
    const image = this.images[owner] as OpenImage;
    const first = chunk * owners.length;
    const count = this.chunkLength(chunk) / PAGE_SIZE;
    const stored = image.map.count(PageState.DATA, first, first + count);
    const isWhole = stored === count && owners.subarray(0, count).every(it => it === owner);
    this.unpacked ??= allocateNative(this.source.chunkSize, { huge: true });
    const content = isWhole ? to : this.unpacked.address;
    this.decompress(image, chunk, content, stored * PAGE_SIZE);
    if (isWhole) return;
    for (let page = 0, nth = 0; page < count; page++) {
      if (image.map.get(first + page) !== PageState.DATA) continue;
      if (owners[page] === owner)
        memcpy(hvaOffset(to, page * PAGE_SIZE), hvaOffset(content, nth * PAGE_SIZE), PAGE_SIZE);
      nth++;
    }
  }

  /** Frames lie within the file, and none is longer than its content: that was checked when the table was read. */
  private decompress(image: OpenImage, chunk: number, to: Hva, length: number): void {
    const frameLength = image.table.length(chunk);
    if (frameLength === length) {
      readFully(image, to, length, image.table.offset(chunk));
      return;
    }
    this.packed ??= allocateNative(this.source.chunkSize, { huge: true });
    readFully(image, this.packed.address, frameLength, image.table.offset(chunk));
    const codec = codecOf(image.compression as Exclude<typeof image.compression, 'none'>);
    if (codec.decompress(to, length, this.packed.address, frameLength) !== length)
      throw corrupt(image.name, `cannot be decompressed in chunk ${chunk}`);
  }
}

function readFully({ fd, name }: MemoryImage, to: Hva, length: number, offset: number): void {
  for (let done = 0; done < length; ) {
    const count = checked(pread(fd, hvaOffset(to, done), length - done, offset + done), `read of ${name}`);
    if (count === 0) throw corrupt(name, 'is truncated');
    done += count;
  }
}
