import { Segments } from '../../vmm/devices/virtio/block/segments.ts';
import { memset } from '../../vmm/ffi/libc.ts';
import type { Hva } from '../../vmm/memory/address.ts';
import type { BlockFile } from './block-file.ts';
import { type DiskGeometry, MAXIMUM_BLOCK_SIZE } from './geometry.ts';
import { allocateHostBuffer } from './host-buffer.ts';
import { IoVector } from './io-vector.ts';
import type { Layer } from './layer.ts';
import { Owner, OwnerTable } from './owner-table.ts';

/** As many buffers as a request can have (virtio-blk's queue size). */
const VECTOR_CAPACITY = 256;
const SCRATCH_BYTES = 2 * MAXIMUM_BLOCK_SIZE;

/** What a disk reads as: the base and the layers, and who of them has each block. For one thread. */
export class LayerReader {
  readonly geometry: DiskGeometry;
  readonly owners: OwnerTable;
  /** Buffers of the transfer that is being made. */
  readonly vector = new IoVector(VECTOR_CAPACITY);
  /** Memory of ours for whole blocks. */
  readonly scratch = allocateHostBuffer(SCRATCH_BYTES);
  /** By owner. */
  private readonly files: (BlockFile | undefined)[] = [];
  private readonly baseSize: number;
  private readonly blockData = new Segments(1);

  /** `layers` from the bottom up, opened. */
  constructor(geometry: DiskGeometry, base: BlockFile | undefined, layers: readonly Layer[]) {
    this.geometry = geometry;
    this.baseSize = Math.min(base?.size ?? 0, geometry.size);
    this.owners = new OwnerTable(geometry, this.baseSize);
    this.files[Owner.BASE] = base;
    for (const [position, layer] of layers.entries()) {
      this.owners.lay(layer, position);
      this.addFile(Owner.FIRST_LAYER + position, layer.file);
    }
  }

  addFile(owner: number, file: BlockFile): void {
    this.files[owner] = file;
  }

  /** Puts `merged` in the place of the layers at the positions [first, end), which show the same together. */
  replace(first: number, end: number, merged: BlockFile): void {
    const [from, to] = [Owner.FIRST_LAYER + first, Owner.FIRST_LAYER + end];
    const names = Uint8Array.from({ length: 256 }, (_, owner) => {
      if (owner < from) return owner;
      return owner < to ? from : owner - (to - from - 1);
    });
    this.owners.rename(names);
    for (const file of this.files.splice(from, to - from, merged)) file?.close();
  }

  /**
   * Fills `data` from `offset` on. Returns 0 or -errno; unless it `mayBlock`, NOT_CACHED when the host's disk would
   * have to be waited for.
   */
  read(offset: number, data: Segments, mayBlock: boolean): number {
    const { blockSize } = this.geometry;
    const end = offset + data.total;
    const endBlock = Math.ceil(end / blockSize);
    for (let at = offset; at < end; ) {
      const block = Math.floor(at / blockSize);
      const runEnd = Math.min(this.owners.runEnd(block, endBlock) * blockSize, end);
      const result = this.readRun(this.owners.at(block), at, data, at - offset, runEnd - at, mayBlock);
      if (result !== 0) return result;
      at = runEnd;
    }
    return 0;
  }

  /** Reads a whole block to the start of `scratch`. Returns 0 or -errno. */
  readBlock(block: number): number {
    const { blockSize } = this.geometry;
    this.blockData.clear();
    this.blockData.append(this.scratch.address, blockSize);
    return this.read(block * blockSize, this.blockData, true);
  }

  /** Starts reading a range into the host's memory. */
  prefetch(offset: number, length: number): void {
    this.forEachFileRun(offset, length, willNeed);
  }

  /** Brings a range into the host's memory, by reading it to nowhere. */
  warm(offset: number, length: number): void {
    this.forEachFileRun(offset, length, (file, at, bytes) => {
      for (let done = 0; done < bytes; done += SCRATCH_BYTES) {
        this.vector.setOne(this.scratch.address, Math.min(SCRATCH_BYTES, bytes - done));
        file.read(this.vector, at + done, true);
      }
    });
  }

  close(): void {
    for (const file of this.files) file?.close();
    this.vector.free();
    this.scratch.free();
  }

  /** Fills `length` bytes of `data`, after the first `skip`, from `offset` of what `owner` has. */
  private readRun(
    owner: number,
    offset: number,
    data: Segments,
    skip: number,
    length: number,
    mayBlock: boolean,
  ): number {
    const file = this.files[owner];
    const available = file === undefined ? 0 : this.availableBytes(owner, offset, length);
    if (available < length) {
      this.vector.setSlice(data, skip + available, length - available);
      this.vector.forEach(clear);
    }
    if (file === undefined || available === 0) return 0;
    this.vector.setSlice(data, skip, available);
    return file.read(this.vector, offset, mayBlock);
  }

  /** The base may end within our last block: what is missing there reads as zeros. */
  private availableBytes(owner: number, offset: number, length: number): number {
    return owner === Owner.BASE ? Math.max(0, Math.min(length, this.baseSize - offset)) : length;
  }

  /** Calls `visit` with each part of a file that a read of the range needs. */
  private forEachFileRun(
    offset: number,
    length: number,
    visit: (file: BlockFile, offset: number, length: number) => void,
  ): void {
    const { blockSize } = this.geometry;
    const end = offset + length;
    const endBlock = Math.ceil(end / blockSize);
    for (let at = offset; at < end; ) {
      const block = Math.floor(at / blockSize);
      const runEnd = Math.min(this.owners.runEnd(block, endBlock) * blockSize, end);
      const owner = this.owners.at(block);
      const file = this.files[owner];
      const available = this.availableBytes(owner, at, runEnd - at);
      if (file !== undefined && available > 0) visit(file, at, available);
      at = runEnd;
    }
  }
}

export const clear = (address: Hva, length: number): void => void memset(address, 0, length);
const willNeed = (file: BlockFile, offset: number, length: number): void => file.willNeed(offset, length);
