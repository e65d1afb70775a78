import { TsvmmError } from '../../vmm/errors.ts';
import { type Hva, hvaOffset, PAGE_SIZE } from '../../vmm/memory/address.ts';
import { allocateNative, type NativeMemory } from '../../vmm/memory/native.ts';
import { look } from '../../vmm/memory/window.ts';
import { checksumOf } from '../image/checksum.ts';
import { ChunkReader } from '../image/chunk-reader.ts';
import { isEqual, isZeroPage, isZeroRange } from '../image/compare-pages.ts';
import type { Compression } from '../image/compression-names.ts';
import type { MemorySource } from '../image/memory-source.ts';
import { PageMap, PageState } from '../image/page-map.ts';
import { type ChunkStore, chunkStore } from './chunk-store.ts';
import { ImageFile } from './image-file.ts';

/** What is to be written: a file for the memory of one VM. */
export interface ImageTarget {
  /** Open for writing. */
  readonly fd: number;
  readonly compression: Compression;
  /** The parent's memory, of the same size and in chunks of the same size: what is equal to it is left out. */
  readonly base?: MemorySource | undefined;
}

export interface ChunkRecord {
  /** CRC-32 of the chunk's bytes, zeros included; 0 when it is all zero. */
  crc: number;
  isZero: boolean;
  zeroPages: number;
  inheritedPages: number;
}

/**
 * Writes chunks of RAM to an image file, and notes what the file has of each page. Which pages differ from the parent's is
 * found by comparing them, byte by byte: nothing has to be watched while the guest runs, and any snapshot can be the
 * parent. Throws TSVMM_E_DISK when the file system refuses. free() gives its buffers back, and ends its use.
 */
export class ChunkWriter {
  readonly records: (ChunkRecord | undefined)[];
  readonly map: PageMap;
  private readonly chunkSize: number;
  private readonly file: ImageFile;
  private readonly store: ChunkStore;
  private readonly base: ChunkReader | undefined;
  private readonly baseContent: NativeMemory | undefined;
  /** PageState of each page of the chunk at hand. */
  private readonly states: Uint8Array;

  /** Throws TSVMM_E_TOOL_MISSING where the library that compresses is missing. */
  constructor({ fd, compression, base }: ImageTarget, chunkSize: number, length: number) {
    if (base !== undefined && (base.chunkSize !== chunkSize || base.length !== length))
      throw new TsvmmError(
        'TSVMM_E_INTERNAL',
        'the parent of a snapshot has memory or chunks of another size',
      );
    const chunkCount = Math.ceil(length / chunkSize);
    this.chunkSize = chunkSize;
    this.file = new ImageFile(fd);
    this.store = chunkStore(this.file, compression, chunkSize, chunkCount);
    this.records = new Array(chunkCount);
    this.map = new PageMap(new Uint8Array(PageMap.size(length / PAGE_SIZE)));
    this.states = new Uint8Array(chunkSize / PAGE_SIZE);
    if (base === undefined) return;
    this.base = new ChunkReader(base);
    this.baseContent = allocateNative(chunkSize, { huge: true });
  }

  get bytesWritten(): number {
    return this.file.bytesWritten;
  }

  /** See ChunkStore. */
  get frames(): Uint8Array {
    return this.store.frames;
  }
  get end(): number | undefined {
    return this.store.end;
  }

  /**
   * Writes the `length` bytes at `address` as chunk number `chunk`. `rewrite` says that something else may have been
   * written there before.
   */
  write(chunk: number, address: Hva, length: number, rewrite: boolean): void {
    if (rewrite) this.store.forget(chunk, length);
    const count = length / PAGE_SIZE;
    const isZero = isZeroRange(address, length);
    const crc = isZero ? this.noteZeros(chunk, count) : this.examine(chunk, address, length);
    this.store.put(chunk, address, this.states, count);
    const record: ChunkRecord = { crc, isZero, zeroPages: 0, inheritedPages: 0 };
    const first = (chunk * this.chunkSize) / PAGE_SIZE;
    for (let page = 0; page < count; page++) {
      const state = this.states[page] as PageState;
      this.map.set(first + page, state);
      if (state === PageState.ZERO) record.zeroPages++;
      else if (state === PageState.INHERITED) record.inheritedPages++;
    }
    this.records[chunk] = record;
  }

  free(): void {
    this.store.free();
    this.base?.free();
    this.baseContent?.free();
  }

  private noteZeros(chunk: number, count: number): number {
    this.states.fill(this.base?.isZero(chunk) ? PageState.INHERITED : PageState.ZERO, 0, count);
    return 0;
  }

  /** Finds the state of every page; answers the CRC-32 of the chunk. */
  private examine(chunk: number, address: Hva, length: number): number {
    const { base, states } = this;
    const count = length / PAGE_SIZE;
    const inherited = base === undefined ? undefined : this.readBase(base, chunk);
    if (inherited !== undefined && isEqual(inherited, address, length)) {
      states.fill(PageState.INHERITED, 0, count);
    } else {
      const bytes = look(address, length);
      for (let page = 0; page < count; page++) {
        const content = hvaOffset(address, page * PAGE_SIZE);
        const same =
          inherited !== undefined && isEqual(hvaOffset(inherited, page * PAGE_SIZE), content, PAGE_SIZE);
        // Most pages that are not zero begin with something else, and need no call to be told.
        const isZero = bytes[page * PAGE_SIZE] === 0 && isZeroPage(content);
        states[page] = same ? PageState.INHERITED : isZero ? PageState.ZERO : PageState.DATA;
      }
    }
    return checksumOf(address, length);
  }

  /** The parent's chunk; undefined when it is damaged: then nothing is inherited of it. */
  private readBase(base: ChunkReader, chunk: number): Hva | undefined {
    const { address } = this.baseContent as NativeMemory;
    try {
      base.read(chunk, address);
      return address;
    } catch (error) {
      if (error instanceof TsvmmError && error.code === 'TSVMM_E_SNAPSHOT_CORRUPT') return undefined;
      throw error;
    }
  }
}
