/** Files from outside: damaged, cut off, or made to harm. All are refused with TSVMM_E_DISK_CORRUPT, or do no harm. */
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HostFile } from '../../../snapshot/disk/block-file.ts';
import { newLayerId } from '../../../snapshot/disk/disk-folder.ts';
import { diskGeometry } from '../../../snapshot/disk/geometry.ts';
import { Layer } from '../../../snapshot/disk/layer.ts';
import {
  BlockState,
  LayerState,
  layerFileSize,
  layerPage,
  layerState,
  NO_BASE,
  NO_LAYER,
  newLayerPieces,
  PAGE_SIZE,
  PAYLOAD_OFFSET,
  sealPage,
  slotOffset,
} from '../../../snapshot/disk/layer-format.ts';
import { DiskRig } from '../../support/disk-rig.ts';
import { Random } from '../../support/random.ts';
import { sameBytes } from '../../support/same-bytes.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const root = temporaryFolder();
let count = 0;
const newPath = () => join(root, `${count++}`);
const SIZE = 64 * 1024;
const geometry = diskGeometry(SIZE);

const isCorrupt = (error: { code?: string }) => error.code === 'TSVMM_E_DISK_CORRUPT';

async function refuses(work: () => Promise<unknown>, what: string): Promise<void> {
  try {
    await work();
  } catch (error) {
    assert.ok(isCorrupt(error as { code?: string }), `${what}: ${(error as Error).message}`);
    return;
  }
  assert.unreachable(`${what} was accepted`);
}

/** A closed disk of two layers with data, and what it reads as. */
async function newDisk(): Promise<{ path: string; content: Uint8Array }> {
  const path = newPath();
  const rig = await DiskRig.create(path, { size: SIZE });
  const random = new Random(5);
  rig.user.write(0, random.bytes(20_480));
  await rig.freeze();
  rig.user.write(8192, random.bytes(4096));
  rig.user.writeZeroes(16_384, 4096);
  rig.user.flush();
  rig.user.write(40_960, random.bytes(4096));
  const content = rig.user.read(0, SIZE);
  rig.close();
  return { path, content };
}

async function contentOf(path: string): Promise<Uint8Array> {
  const rig = await DiskRig.open(path, { writable: false });
  try {
    return rig.user.read(0, SIZE);
  } finally {
    rig.drop();
  }
}

/** A new layer file with a bottom layer's header, and `edit` done to its bytes. */
function layerFile(edit: (bytes: Uint8Array) => void): string {
  const path = newPath();
  const bytes = new Uint8Array(layerFileSize(geometry));
  const header = { id: newLayerId(), parent: NO_LAYER, base: NO_BASE, geometry };
  for (const piece of newLayerPieces(header)) bytes.set(piece.bytes, piece.offset);
  edit(bytes);
  writeFileSync(path, bytes);
  return path;
}

function openFile(path: string): Layer {
  const file = new HostFile(path, { writable: false });
  try {
    return Layer.open(file);
  } finally {
    file.close();
  }
}

const test = suite('damaged and hostile disks');

test('a flipped bit in the tail of a closed disk is refused or changes nothing', async () => {
  const { path, content } = await newDisk();
  const random = new Random(9);
  let refused = 0;
  for (let i = 0; i < 300; i++) {
    const file = join(path, random.pick(['1.layer', '2.layer']));
    const good = readFileSync(file);
    const bad = Buffer.from(good);
    const at = geometry.dataEnd + random.below(good.length - geometry.dataEnd);
    bad[at] = (bad[at] as number) ^ (1 << random.below(8));
    writeFileSync(file, bad);
    try {
      sameBytes(await contentOf(path), content, `byte ${at}`);
    } catch (error) {
      assert.ok(isCorrupt(error as { code?: string }), `byte ${at}: ${error}`);
      refused++;
    }
    writeFileSync(file, good);
  }
  assert.ok(refused > 50, `${refused} refused`);
});

test('a truncated or extended layer is refused', async () => {
  const { path } = await newDisk();
  const file = join(path, '1.layer');
  const good = readFileSync(file);
  for (const size of [
    0,
    1,
    4095,
    4096,
    SIZE,
    good.length - 4096,
    good.length - 1,
    good.length + 1,
    good.length + 4096,
  ]) {
    writeFileSync(file, good);
    truncateSync(file, size);
    await refuses(() => contentOf(path), `${size} bytes`);
  }
});

test('layers that are missing, swapped, of another disk or no files are refused', async () => {
  const { path } = await newDisk();
  const other = await newDisk();
  const first = join(path, '1.layer');
  const good = readFileSync(first);
  copyFileSync(join(path, '2.layer'), first);
  await refuses(() => contentOf(path), 'the same layer twice');
  copyFileSync(join(other.path, '1.layer'), first);
  await refuses(() => contentOf(path), 'a layer of another disk');
  writeFileSync(first, new Uint8Array(good.length));
  await refuses(() => contentOf(path), 'zeros');
  writeFileSync(first, good);
  const description = JSON.parse(readFileSync(join(path, 'disk.json'), 'utf8'));
  const folder = newPath();
  mkdirSync(folder);
  copyFileSync(join(path, '2.layer'), join(folder, '1.layer'));
  symlinkSync('/dev/zero', join(folder, '2.layer'));
  writeFileSync(join(folder, 'disk.json'), JSON.stringify(description));
  await refuses(() => contentOf(folder), 'layers in the wrong order');
  description.layers = [{ ...description.layers[0], file: '2.layer' }];
  writeFileSync(join(folder, 'disk.json'), JSON.stringify(description));
  await refuses(() => contentOf(folder), 'a device for a layer');
});

test('descriptions with anything unexpected in them are refused', async () => {
  const { path } = await newDisk();
  const file = join(path, 'disk.json');
  const good = JSON.parse(readFileSync(file, 'utf8'));
  const [layer] = good.layers;
  const bad: Record<string, unknown> = {
    'not JSON': undefined,
    'no object': [],
    'another format': { ...good, format: 'qcow2' },
    'a later version': { ...good, version: 2 },
    'an unknown field': { ...good, extra: 1 },
    'a negative size': { ...good, size_bytes: -4096 },
    'a fractional size': { ...good, size_bytes: 4096.5 },
    'an odd size': { ...good, size_bytes: SIZE + 1 },
    'another size': { ...good, size_bytes: 2 * SIZE },
    'an enormous size': { ...good, size_bytes: 2 ** 52 },
    'a block size of 0': { ...good, block_bytes: 0 },
    'a block size of 5000': { ...good, block_bytes: 5000 },
    'a file outside': { ...good, layers: [{ ...layer, file: '../1.layer' }] },
    'an absolute file': { ...good, layers: [{ ...layer, file: '/etc/passwd' }] },
    'a hidden file': { ...good, layers: [{ ...layer, file: '.layer' }] },
    'a bad id': { ...good, layers: [{ ...layer, id: 'x' }] },
    'the same file twice': { ...good, layers: [layer, layer] },
    'too many layers': { ...good, layers: Array(300).fill(layer) },
    'a relative base': { ...good, base: { path: 'x', size_bytes: 1, modified_ns: '0' } },
    'another base': { ...good, base: { path: file, size_bytes: 1, modified_ns: '0' } },
  };
  for (const [what, json] of Object.entries(bad)) {
    writeFileSync(file, json === undefined ? '{' : JSON.stringify(json));
    await refuses(() => contentOf(path), what);
  }
});

test('a base that was changed after the disk was made is refused', async () => {
  const base = newPath();
  writeFileSync(base, new Random(3).bytes(SIZE));
  const path = newPath();
  (await DiskRig.create(path, { base })).close();
  await contentOf(path);
  utimesSync(base, 1, 1);
  await refuses(() => contentOf(path), 'a touched base');
});

test('a header with valid checksum and impossible sizes is refused', () => {
  const setHeader = (edit: (view: DataView) => void) => (bytes: Uint8Array) => {
    const view = new DataView(bytes.buffer, bytes.length - PAGE_SIZE);
    edit(view);
    view.setUint32(PAGE_SIZE - 4, crc32(bytes.subarray(bytes.length - PAGE_SIZE, bytes.length - 4)), true);
  };
  const VERSION = 8;
  const BLOCK_SIZE = 12;
  const DISK_SIZE = 16;
  openFile(layerFile(setHeader(() => {})));
  const edits: ((view: DataView) => void)[] = [
    view => view.setUint32(VERSION, 2, true),
    view => view.setUint32(BLOCK_SIZE, 0, true),
    view => view.setUint32(BLOCK_SIZE, 3, true),
    view => view.setUint32(BLOCK_SIZE, 2 ** 31, true),
    view => view.setBigUint64(DISK_SIZE, 0n, true),
    view => view.setBigUint64(DISK_SIZE, 2n ** 64n - 1n, true),
    view => view.setBigUint64(DISK_SIZE, 2n ** 60n, true),
    view => view.setBigUint64(DISK_SIZE, BigInt(SIZE) + 4096n, true),
  ];
  for (const edit of edits) assert.throws(() => openFile(layerFile(setHeader(edit))), isCorrupt);
});

test('a map with valid checksum and impossible content is refused', () => {
  const id = newLayerId();
  const withMap = (fill: (payload: Uint8Array) => void) => (bytes: Uint8Array) => {
    for (const piece of newLayerPieces({ id, parent: NO_LAYER, base: NO_BASE, geometry }))
      bytes.set(piece.bytes, piece.offset);
    const page = new Uint8Array(PAGE_SIZE);
    fill(page.subarray(PAYLOAD_OFFSET));
    sealPage(page, 1, 2, id);
    bytes.set(page, slotOffset(geometry, 1, 0));
  };
  const layer = openFile(layerFile(withMap(payload => payload.set([0b10000001]))));
  assert.equal(
    [0, 1, 2, 3].map(block => layer.map?.get(block)),
    [BlockState.DATA, 0, 0, BlockState.ZERO],
  );
  const impossible: ((payload: Uint8Array) => void)[] = [
    payload => payload.set([0b11]),
    payload => payload.set([0b11000000], 3),
    payload => payload.set([0b01], geometry.blockCount / 4),
    payload => payload.fill(0b01010101),
    payload => payload.set([0b01], payload.length - 1),
  ];
  for (const fill of impossible) assert.throws(() => openFile(layerFile(withMap(fill))), isCorrupt);
});

test('unknown states, and pages that belong elsewhere, are refused', () => {
  const id = newLayerId();
  const withState =
    (state: number, index = 0, owner = id) =>
    (bytes: Uint8Array) => {
      for (const piece of newLayerPieces({ id, parent: NO_LAYER, base: NO_BASE, geometry }))
        bytes.set(piece.bytes, piece.offset);
      const page = layerPage.allocate();
      layerState.at(page.payload.buffer, PAYLOAD_OFFSET).state = state;
      sealPage(page.bytes, index, 5, owner);
      bytes.set(page.bytes, slotOffset(geometry, 0, 0));
    };
  openFile(layerFile(withState(LayerState.LIVE)));
  // Closed in order, but with another map than the one that was closed.
  assert.throws(() => openFile(layerFile(withState(LayerState.CLEAN))), isCorrupt);
  for (const state of [0, 4, 0xffffffff])
    assert.throws(() => openFile(layerFile(withState(state))), isCorrupt);
  assert.throws(() => openFile(layerFile(withState(LayerState.LIVE, 1))), isCorrupt);
  assert.throws(() => openFile(layerFile(withState(LayerState.LIVE, 0, newLayerId()))), isCorrupt);
});

test.run();
