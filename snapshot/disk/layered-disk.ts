import { type BlockBackend, type BlockResult, WOULD_BLOCK } from '../../vmm/devices/virtio/block/backend.ts';
import type { Segments } from '../../vmm/devices/virtio/block/segments.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { errno } from '../../vmm/ffi/errno.ts';
import { memcpy } from '../../vmm/ffi/libc.ts';
import { hvaOffset } from '../../vmm/memory/address.ts';
import { type BlockFile, NOT_CACHED } from './block-file.ts';
import { Counter, DiskStats } from './disk-stats.ts';
import { FreezeWord } from './freeze-word.ts';
import type { DiskGeometry } from './geometry.ts';
import type { Layer } from './layer.ts';
import { BlockState, LayerState } from './layer-format.ts';
import { clear, LayerReader } from './layer-reader.ts';
import { Owner, type OwnerTable } from './owner-table.ts';

export interface LayeredDiskOptions {
  readonly geometry: DiskGeometry;
  readonly base: BlockFile | undefined;
  /** From the bottom up, opened. All but the last are, or are about to be, frozen. */
  readonly layers: readonly Layer[];
  /** Whether the last layer is written. If not, every write fails. */
  readonly writable: boolean;
  readonly stats?: DiskStats;
  readonly freezeWord?: FreezeWord;
}

const { EROFS } = errno;

/** A range of bytes that something was done to; none when the offset is -1. */
interface Range {
  offset: number;
  length: number;
}

/**
 * A disk that is made of a base and layers, as the backend of a block device: reads go to whoever owns a block,
 * writes to the top layer. For one thread.
 */
export class LayeredDisk implements BlockBackend {
  readonly geometry: DiskGeometry;
  private readonly reader: LayerReader;
  private readonly owners: OwnerTable;
  private readonly stats: DiskStats;
  private readonly freezeWord: FreezeWord;
  private freezes: number;

  /** The layer that is written, and how the owner table calls it; undefined when the disk is read-only. */
  private top: Layer | undefined;
  private topOwner: number = Owner.NOBODY;
  /** The empty layer that becomes the top with the next freeze. */
  private prepared: Layer | undefined;
  /** Former tops that are not sealed yet, oldest first. */
  private readonly unsealed: Layer[] = [];

  /** What wait() is to do, and what it did, for the operation that is then asked again. */
  private waitingFor: 'nothing' | 'read' | 'punch' | 'flush' = 'nothing';
  private readonly waitRange: Range = { offset: -1, length: 0 };
  private readonly warmed: Range = { offset: -1, length: 0 };
  private readonly punched: Range = { offset: -1, length: 0 };
  private flushFailure = 0;

  constructor({ geometry, base, layers, writable, stats, freezeWord }: LayeredDiskOptions) {
    this.geometry = geometry;
    this.stats = stats ?? new DiskStats();
    this.freezeWord = freezeWord ?? new FreezeWord();
    this.freezes = this.freezeWord.count;
    this.reader = new LayerReader(geometry, base, layers);
    this.owners = this.reader.owners;
    if (writable) {
      this.top = layers[layers.length - 1];
      this.topOwner = Owner.FIRST_LAYER + layers.length - 1;
    }
    for (const layer of layers) {
      if (layer === this.top) continue;
      if (writable && layer.state !== LayerState.FROZEN) this.unsealed.push(layer);
      else layer.dropMap();
    }
  }

  enter(): void {
    if (this.freezeWord.count !== this.freezes) this.switchTop();
  }

  /** Hands over the empty layer, opened, that the next freeze puts on top. */
  prepare(layer: Layer): void {
    this.enter();
    this.prepared = layer;
  }

  read(offset: number, data: Segments): BlockResult {
    const mayBlock = isRange(this.warmed, offset, data.total);
    const result = this.reader.read(offset, data, mayBlock);
    if (result === NOT_CACHED) return this.waitFor('read', offset, data.total);
    this.warmed.offset = -1;
    return this.counted(result, Counter.read_count, Counter.read_bytes, data.total);
  }

  write(offset: number, data: Segments): BlockResult {
    const { top, owners, reader } = this;
    if (top === undefined) return -EROFS;
    const { blockSize } = this.geometry;
    const first = Math.floor(offset / blockSize);
    const end = Math.ceil((offset + data.total) / blockSize);
    top.dataDirty = true;
    let result: number;
    if (owners.ownsAll(this.topOwner, first, end)) {
      reader.vector.setSlice(data, 0, data.total);
      result = top.file.write(reader.vector, offset);
    } else {
      result = this.writeNew(top, offset, data, first, end);
    }
    return this.counted(result, Counter.write_count, Counter.write_bytes, data.total);
  }

  flush(): BlockResult {
    const failure = this.flushFailure;
    this.flushFailure = 0;
    if (failure === 0 && this.isDirty) return this.waitFor('flush', -1, 0);
    return this.counted(failure, Counter.flush_count);
  }

  discard(offset: number, length: number): BlockResult {
    const { top } = this;
    if (top === undefined) return -EROFS;
    const result = this.zeroWholeBlocks(top, offset, offset + length);
    return result === WOULD_BLOCK ? result : this.counted(result, Counter.discard_count);
  }

  writeZeroes(offset: number, length: number): BlockResult {
    const { top } = this;
    if (top === undefined) return -EROFS;
    const end = offset + length;
    const whole = this.zeroWholeBlocks(top, offset, end);
    if (whole === WOULD_BLOCK) return whole;
    return this.counted(this.zeroEdges(top, offset, end), Counter.discard_count);
  }

  prefetch(offset: number, length: number): void {
    this.reader.prefetch(offset, length);
  }

  wait(): void {
    const { waitingFor, waitRange } = this;
    this.waitingFor = 'nothing';
    switch (waitingFor) {
      case 'read':
        this.reader.warm(waitRange.offset, waitRange.length);
        Object.assign(this.warmed, waitRange);
        break;
      case 'punch':
        this.top?.file.punch(waitRange.offset, waitRange.length);
        Object.assign(this.punched, waitRange);
        break;
      case 'flush':
        this.flushFailure = this.flushNow();
    }
  }

  /** Returns 0 when all that was written is on stable storage, or -errno. */
  flushNow(): number {
    for (const layer of this.unsealed) {
      const result = layer.flush();
      if (result !== 0) return result;
    }
    return this.top?.flush() ?? 0;
  }

  /** Makes the layers that were frozen so far durable and final. Returns 0 or -errno. */
  seal(): number {
    this.enter();
    for (let layer = this.unsealed[0]; layer !== undefined; layer = this.unsealed[0]) {
      const result = layer.seal();
      if (result !== 0) return result;
      this.unsealed.shift();
    }
    return 0;
  }

  /** Puts the frozen layer `merged` in the place of the sealed layers at the positions [first, end). */
  replaceLayers(first: number, end: number, merged: Layer): void {
    this.enter();
    merged.dropMap();
    this.reader.replace(first, end, merged.file);
    this.topOwner -= end - first - 1;
  }

  /** Flushes, and records that the top layer was closed in order. Returns 0 or -errno. */
  finish(): number {
    const sealed = this.seal();
    return sealed === 0 ? (this.top?.finish() ?? 0) : sealed;
  }

  close(): void {
    this.reader.close();
    this.prepared?.close();
  }

  private get isDirty(): boolean {
    if (this.top?.isDirty === true) return true;
    return this.unsealed.length > 0 && this.unsealed.some(layer => layer.isDirty);
  }

  private switchTop(): void {
    const { top, prepared } = this;
    if (prepared === undefined || this.freezeWord.count !== this.freezes + 1)
      throw new TsvmmError('TSVMM_E_INTERNAL', 'a disk was frozen without a layer prepared for it');
    this.freezes++;
    if (top !== undefined) this.unsealed.push(top);
    this.top = prepared;
    this.topOwner++;
    this.reader.addFile(this.topOwner, prepared.file);
    this.prepared = undefined;
    this.punched.offset = -1;
  }

  private waitFor(what: 'read' | 'punch' | 'flush', offset: number, length: number): BlockResult {
    this.waitingFor = what;
    this.waitRange.offset = offset;
    this.waitRange.length = length;
    this.stats.add(Counter.wait_count, 1);
    return WOULD_BLOCK;
  }

  /** A write that gives blocks [first, end) to the top layer, completing those that it covers in part. */
  private writeNew(top: Layer, offset: number, data: Segments, first: number, end: number): number {
    const { blockSize, size } = this.geometry;
    const last = end - 1;
    const dataEnd = offset + data.total;
    let from = offset;
    let to = dataEnd;
    if (offset % blockSize !== 0 && this.owners.at(first) !== this.topOwner) {
      from = Math.min((first + 1) * blockSize, dataEnd);
      const result = this.completeBlock(top, first, offset, from, data, 0);
      if (result !== 0) return result;
    }
    // What follows the disk's end in its last block needs no completing.
    if (from < to && to % blockSize !== 0 && to < size && this.owners.at(last) !== this.topOwner) {
      to = last * blockSize;
      const result = this.completeBlock(top, last, to, dataEnd, data, to - offset);
      if (result !== 0) return result;
    }
    if (from < to) {
      this.reader.vector.setSlice(data, from - offset, to - from);
      const result = top.file.write(this.reader.vector, from);
      if (result !== 0) return result;
    }
    this.giveToTop(top, first, end);
    return 0;
  }

  /**
   * Writes the whole of `block`: [from, to) of it out of `data` after the first `skip` bytes, or zeros where there is
   * no data, and the rest as it was.
   */
  private completeBlock(
    top: Layer,
    block: number,
    from: number,
    to: number,
    data: Segments | undefined,
    skip: number,
  ): number {
    const { reader } = this;
    const { vector, scratch } = reader;
    const { blockSize } = this.geometry;
    const start = block * blockSize;
    const result = reader.readBlock(block);
    if (result !== 0) return result;
    let into = hvaOffset(scratch.address, from - start);
    if (data === undefined) {
      clear(into, to - from);
    } else {
      vector.setSlice(data, skip, to - from);
      vector.forEach((piece, length) => {
        memcpy(into, piece, length);
        into = hvaOffset(into, length);
      });
    }
    this.stats.add(Counter.copied_block_count, 1);
    vector.setOne(scratch.address, blockSize);
    return top.file.write(vector, start);
  }

  private giveToTop(top: Layer, first: number, end: number): void {
    this.owners.give(first, end, this.topOwner);
    top.map?.set(first, end, BlockState.DATA);
  }

  /**
   * Makes the blocks that lie within [offset, end) as a whole zero. The space they take in the top layer is given
   * back first, without the device's lock: as the request is under way, nobody may expect the old content.
   */
  private zeroWholeBlocks(top: Layer, offset: number, end: number): BlockResult {
    const { owners } = this;
    const { blockSize, size, blockCount } = this.geometry;
    const first = Math.ceil(offset / blockSize);
    const last = end === size ? blockCount : Math.floor(end / blockSize);
    if (first >= last) return 0;
    const start = first * blockSize;
    const length = (last - first) * blockSize;
    if (!isRange(this.punched, start, length) && owners.ownsAny(this.topOwner, first, last))
      return this.waitFor('punch', start, length);
    this.punched.offset = -1;
    for (let block = first; block < last; ) {
      const runEnd = owners.runEnd(block, last);
      if (owners.at(block) !== Owner.NOBODY) top.map?.set(block, runEnd, BlockState.ZERO);
      block = runEnd;
    }
    owners.give(first, last, Owner.NOBODY);
    return 0;
  }

  /** Zeros what zeroWholeBlocks() leaves of [offset, end): parts of the first and of the last block. */
  private zeroEdges(top: Layer, offset: number, end: number): number {
    const { blockSize, size } = this.geometry;
    const headEnd = Math.min(Math.ceil(offset / blockSize) * blockSize, end);
    const result = headEnd > offset ? this.zeroPart(top, offset, headEnd) : 0;
    if (result !== 0 || end === size) return result;
    const tailStart = Math.max(Math.floor(end / blockSize) * blockSize, headEnd);
    return tailStart < end ? this.zeroPart(top, tailStart, end) : 0;
  }

  private zeroPart(top: Layer, from: number, to: number): number {
    const block = Math.floor(from / this.geometry.blockSize);
    if (this.owners.at(block) === Owner.NOBODY) return 0;
    top.dataDirty = true;
    const result = this.completeBlock(top, block, from, to, undefined, 0);
    if (result === 0) this.giveToTop(top, block, block + 1);
    return result;
  }

  private counted(result: number, operations: number, bytes = -1, length = 0): number {
    this.stats.add(result === 0 ? operations : Counter.error_count, 1);
    if (result === 0 && bytes !== -1) this.stats.add(bytes, length);
    return result;
  }
}

const isRange = (range: Range, offset: number, length: number): boolean =>
  range.offset === offset && range.length === length;
