import { crc32 } from 'node:zlib';
import { TsvmmError } from '../../vmm/errors.ts';
import { errno } from '../../vmm/ffi/errno.ts';
import type { BlockFile } from './block-file.ts';
import { corrupt } from './corrupt.ts';
import type { DiskGeometry } from './geometry.ts';
import {
  BlockState,
  decodeHeader,
  type LayerHeader,
  LayerState,
  layerPage,
  layerState,
  mapPageCount,
  PAGE_SIZE,
  PAYLOAD_OFFSET,
} from './layer-format.ts';
import { forEachRun, LayerMap } from './layer-map.ts';
import { PageSlots } from './page-slots.ts';

/** What a layer holds, in blocks. */
export interface LayerContent {
  readonly dataBlocks: number;
  readonly zeroBlocks: number;
}

/**
 * One layer: a file, and its map in memory. Durability rests on one order, kept by flush(): data reaches stable storage
 * before a map that speaks of it is written, and the map's pages are never overwritten in place.
 */
export class Layer {
  readonly header: LayerHeader;
  readonly file: BlockFile;
  /** Undefined once the layer is frozen: its blocks are in the owner table, and it gets no others. */
  map: LayerMap | undefined;
  /** Set by whoever writes data to `file`; cleared by flush(). */
  dataDirty = false;
  private readonly slots: PageSlots;
  private readonly stateRecord = layerPage.allocate();
  private readonly stateFields = layerState.at(this.stateRecord.payload.buffer, PAYLOAD_OFFSET);
  private failure = 0;

  private constructor(header: LayerHeader, file: BlockFile, slots: PageSlots, map: LayerMap) {
    this.header = header;
    this.file = file;
    this.slots = slots;
    this.map = map;
  }

  /** Opens the layer in `file` and validates all of it but the data. Throws TSVMM_E_DISK_CORRUPT. */
  static open(file: BlockFile): Layer {
    const header = readLayerHeader(file);
    const slots = new PageSlots(file, header.geometry, header.id);
    const map = new LayerMap(mapPageCount(header.geometry));
    const layer = new Layer(header, file, slots, map);
    slots.load(0, layer.stateRecord.bytes);
    slots.load(1, map.allPages);
    layer.validate(map);
    return layer;
  }

  get state(): LayerState {
    return this.stateFields.state as LayerState;
  }

  /** Checksum of the map as recorded when the layer was closed or frozen; 0 while it is live. */
  get recordedChecksum(): number {
    return this.stateFields.map_checksum;
  }

  get geometry(): DiskGeometry {
    return this.header.geometry;
  }

  /** Calls `visit` with each run of blocks that the layer has. For layers that were opened and not yet frozen. */
  forEachRun(visit: (first: number, end: number, state: BlockState) => void): void {
    const { map } = this;
    for (let page = 0; map !== undefined && page < map.pageCount; page++)
      forEachRun(map.payload(page), page, this.geometry.blockCount, visit);
  }

  /** Repairs what a crash has torn and records that the layer is being written. Returns 0 or -errno. */
  startWriting(): number {
    const repaired = this.repair();
    if (repaired !== 0 || this.state === LayerState.LIVE) return repaired;
    if (this.state === LayerState.FROZEN)
      throw new TsvmmError('TSVMM_E_INTERNAL', `${this.file.path} is frozen and must not be written`);
    return this.recordState(LayerState.LIVE);
  }

  get isDirty(): boolean {
    return this.dataDirty || this.map?.isDirty === true;
  }

  /**
   * Brings all that was written to stable storage. Returns 0 or -errno. When the kernel reports that it could not
   * write data, nobody knows what is on the disk and a later fdatasync(2) would not say so again: from then on every
   * flush fails.
   */
  flush(): number {
    if (this.failure !== 0) return this.failure;
    if (this.dataDirty) {
      const result = this.sync();
      if (result !== 0) return result;
      this.dataDirty = false;
    }
    const { map } = this;
    if (map === undefined || !map.isDirty) return 0;
    for (let page = 0; page < map.pageCount; page++) {
      if (!map.isPageDirty(page)) continue;
      const result = this.slots.write(1 + page, map.page(page));
      if (result !== 0) return result;
    }
    const result = this.sync();
    if (result !== 0) return result;
    this.slots.commit();
    map.markClean();
    return 0;
  }

  /** Flushes, and records that the layer was closed in order. Returns 0 or -errno. */
  finish(): number {
    const flushed = this.flush();
    return flushed === 0 ? this.recordState(LayerState.CLEAN) : flushed;
  }

  /** Flushes, and records that the layer never changes again. Returns 0 or -errno. */
  seal(): number {
    let result = this.repair();
    if (result === 0) result = this.flush();
    if (result === 0 && this.state !== LayerState.FROZEN) result = this.recordState(LayerState.FROZEN);
    if (result === 0) this.dropMap();
    return result;
  }

  /** Gives the map's memory back, once the owner table has it all and nothing is to be written any more. */
  dropMap(): void {
    this.map = undefined;
  }

  /** How many blocks of each kind the layer has. */
  content(): LayerContent {
    if (this.map === undefined)
      return { dataBlocks: this.stateFields.data_blocks, zeroBlocks: this.stateFields.zero_blocks };
    let dataBlocks = 0;
    let zeroBlocks = 0;
    this.forEachRun((first, end, state) => {
      if (state === BlockState.DATA) dataBlocks += end - first;
      else zeroBlocks += end - first;
    });
    return { dataBlocks, zeroBlocks };
  }

  close(): void {
    this.file.close();
  }

  private repair(): number {
    const { map } = this;
    if (map === undefined || !this.slots.isTorn || this.state === LayerState.FROZEN) return 0;
    let result = this.slots.repair(index => (index === 0 ? this.stateRecord.bytes : map.page(index - 1)));
    if (result === 0) result = this.sync();
    if (result === 0) this.slots.commit();
    return result;
  }

  private recordState(state: LayerState): number {
    const fields = this.stateFields;
    const content = this.content();
    const before = fields.state;
    fields.state = state;
    fields.map_checksum = state === LayerState.LIVE ? 0 : this.mapChecksum();
    fields.data_blocks = state === LayerState.LIVE ? 0 : content.dataBlocks;
    fields.zero_blocks = state === LayerState.LIVE ? 0 : content.zeroBlocks;
    let result = this.slots.write(0, this.stateRecord.bytes);
    if (result === 0) result = this.sync();
    if (result === 0) this.slots.commit();
    else fields.state = before;
    return result;
  }

  private mapChecksum(): number {
    let checksum = 0;
    for (let page = 0; this.map !== undefined && page < this.map.pageCount; page++)
      checksum = crc32(this.map.payload(page), checksum);
    return checksum;
  }

  private sync(): number {
    const result = this.file.sync();
    if (result !== 0) this.failure = -errno.EIO;
    return result;
  }

  private validate(map: LayerMap): void {
    const { path } = this.file;
    const { state } = this;
    if (state !== LayerState.LIVE && state !== LayerState.CLEAN && state !== LayerState.FROZEN)
      throw corrupt(path, `unknown state ${state}`);
    for (let page = 0; page < map.pageCount; page++) {
      if (!forEachRun(map.payload(page), page, this.geometry.blockCount, () => {}))
        throw corrupt(path, `page ${page} of the map is impossible`);
    }
    // A live layer may have lost the newest version of a page to a crash; any other has all of them.
    if (state !== LayerState.LIVE && this.stateFields.map_checksum !== this.mapChecksum())
      throw corrupt(path, 'the map is damaged');
  }
}

/** Reads and validates the header alone. Throws TSVMM_E_DISK_CORRUPT. */
export function readLayerHeader(file: BlockFile): LayerHeader {
  const page = new Uint8Array(PAGE_SIZE);
  if (file.size < PAGE_SIZE || file.readAt(page, file.size - PAGE_SIZE) !== PAGE_SIZE)
    throw corrupt(file.path, 'not a layer file');
  return decodeHeader(page, file.size, file.path);
}
