/**
 * The layer file (docs/disk-format.md):
 *
 *   0          data: block b of the disk at b * block_size, sparse
 *   data_end   page slots: slot s (0 or 1) of page p at data_end + (2 * p + s) * 4096;
 *              page 0 is the state record, the pages from 1 on are the map, 2 bits for each block
 *   then       the header, the last 4096 bytes of the file; never changed once the file has its name
 *
 * A page is never overwritten where its newest valid content is, but in its other slot; the newer generation counts.
 */
import { crc32 } from 'node:zlib';
import { bytes, struct, u32, u64, usize } from '../../vmm/ffi/struct.ts';
import { corrupt } from './corrupt.ts';
import { type DiskGeometry, diskGeometry } from './geometry.ts';

export const PAGE_SIZE = 4096;
const HEADER_MAGIC = 'TSVMMLYR';
export const LAYER_VERSION = 1;
/** "TSVP" */
const PAGE_MAGIC = 0x50565354;

const layerHeader = struct(
  'layer_header',
  {
    magic: bytes(8),
    version: u32,
    block_size: u32,
    disk_size: usize,
    id: bytes(16),
    parent: bytes(16),
    base_size: usize,
    base_modified_ns: u64,
    checksum: u32,
  },
  { checksum: PAGE_SIZE - 4, size: PAGE_SIZE },
);

export const layerPage = struct(
  'layer_page',
  { magic: u32, checksum: u32, index: u32, generation: usize, layer: bytes(16), payload: bytes(4032) },
  { generation: 16, layer: 24, payload: 64, size: PAGE_SIZE },
);
export const PAYLOAD_OFFSET = layerPage.offsets.payload;
export const PAYLOAD_SIZE = PAGE_SIZE - PAYLOAD_OFFSET;

export const layerState = struct('layer_state', {
  state: u32,
  /** Of all map payloads in order; 0 while the layer is live. */
  map_checksum: u32,
  data_blocks: usize,
  zero_blocks: usize,
});

/** Two bits in the map. */
export const BlockState = { ABSENT: 0, DATA: 1, ZERO: 2 } as const;
export type BlockState = (typeof BlockState)[keyof typeof BlockState];
export const BLOCKS_PER_PAGE = PAYLOAD_SIZE * 4;

export const LayerState = {
  /** Being written, or was when its process ended: of each page the newest valid slot counts. */
  LIVE: 1,
  /** Closed in order: the map is exactly the one whose checksum the state record holds. */
  CLEAN: 2,
  /** Like CLEAN, and never written again. */
  FROZEN: 3,
} as const;
export type LayerState = (typeof LayerState)[keyof typeof LayerState];

/** Identifies the content that a layer and all below it show. */
export type LayerId = string;
export const NO_LAYER: LayerId = '0'.repeat(32);
export const isLayerId = (text: string): boolean => /^[0-9a-f]{32}$/.test(text);

/** Which file lies under the bottom layer; all zeros for none. */
export interface BaseIdentity {
  readonly size: number;
  readonly modified_ns: bigint;
}
export const NO_BASE: BaseIdentity = { size: 0, modified_ns: 0n };

export interface LayerHeader {
  readonly id: LayerId;
  /** The layer below, or NO_LAYER. */
  readonly parent: LayerId;
  readonly base: BaseIdentity;
  readonly geometry: DiskGeometry;
}

export const mapPageCount = ({ blockCount }: DiskGeometry): number => Math.ceil(blockCount / BLOCKS_PER_PAGE);
export const slotOffset = (geometry: DiskGeometry, page: number, slot: number): number =>
  geometry.dataEnd + (2 * page + slot) * PAGE_SIZE;
const headerOffset = (geometry: DiskGeometry): number => slotOffset(geometry, 1 + mapPageCount(geometry), 0);
export const layerFileSize = (geometry: DiskGeometry): number => headerOffset(geometry) + PAGE_SIZE;

/** The two pieces of a new, empty, live layer file; all else of it is a hole. */
export function newLayerPieces(header: LayerHeader): { offset: number; bytes: Uint8Array }[] {
  const { geometry } = header;
  const state = layerPage.allocate();
  layerState.at(state.payload.buffer, PAYLOAD_OFFSET).state = LayerState.LIVE;
  sealPage(state.bytes, 0, 1, header.id);
  return [
    { offset: slotOffset(geometry, 0, 0), bytes: state.bytes },
    { offset: headerOffset(geometry), bytes: encodeHeader(header) },
  ];
}

function encodeHeader({ id, parent, base, geometry }: LayerHeader): Uint8Array {
  const header = layerHeader.allocate();
  header.magic.set(new TextEncoder().encode(HEADER_MAGIC));
  header.version = LAYER_VERSION;
  header.block_size = geometry.blockSize;
  header.disk_size = geometry.size;
  header.id.set(Buffer.from(id, 'hex'));
  header.parent.set(Buffer.from(parent, 'hex'));
  header.base_size = base.size;
  header.base_modified_ns = base.modified_ns;
  header.checksum = crc32(header.bytes.subarray(0, layerHeader.offsets.checksum));
  return header.bytes;
}

/**
 * Reads the header from the last page of a layer file of `fileSize` bytes. Throws TSVMM_E_DISK_CORRUPT unless
 * everything in it is in order and the file is as long as it says.
 */
export function decodeHeader(page: Uint8Array, fileSize: number, path: string): LayerHeader {
  const header = layerHeader.at(page.buffer, page.byteOffset);
  if (Buffer.from(header.magic).toString('latin1') !== HEADER_MAGIC) throw corrupt(path, 'not a layer file');
  if (header.version !== LAYER_VERSION) throw corrupt(path, `layer format ${header.version} is not known`);
  if (header.checksum !== crc32(page.subarray(0, layerHeader.offsets.checksum)))
    throw corrupt(path, 'the header is damaged');
  let geometry: DiskGeometry;
  try {
    geometry = diskGeometry(header.disk_size, header.block_size);
  } catch (cause) {
    throw corrupt(path, `impossible sizes in the header: ${(cause as Error).message}`);
  }
  if (layerFileSize(geometry) !== fileSize) throw corrupt(path, `truncated or extended: ${fileSize} bytes`);
  return {
    id: Buffer.from(header.id).toString('hex'),
    parent: Buffer.from(header.parent).toString('hex'),
    base: { size: header.base_size, modified_ns: header.base_modified_ns },
    geometry,
  };
}

/** Makes `page`, whose payload is set, ready to be written as the given generation of page `index`. */
export function sealPage(page: Uint8Array, index: number, generation: number, layer: LayerId): void {
  const view = layerPage.at(page.buffer, page.byteOffset);
  view.magic = PAGE_MAGIC;
  view.index = index;
  view.generation = generation;
  view.layer.set(Buffer.from(layer, 'hex'));
  view.checksum = pageChecksum(page);
}

/** The page's generation; 0 when it was never written, -1 when it is not valid: torn or damaged. */
export function pageGeneration(page: Uint8Array, index: number, layer: LayerId): number {
  const view = layerPage.at(page.buffer, page.byteOffset);
  if (view.magic === 0 && Buffer.compare(page, emptyPage) === 0) return 0;
  const valid =
    view.magic === PAGE_MAGIC &&
    view.checksum === pageChecksum(page) &&
    view.index === index &&
    view.generation > 0 &&
    Number.isSafeInteger(view.generation) &&
    Buffer.from(view.layer).toString('hex') === layer;
  return valid ? view.generation : -1;
}

const emptyPage = new Uint8Array(PAGE_SIZE);
const pageChecksum = (page: Uint8Array): number => crc32(page.subarray(layerPage.offsets.index));
