import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDisk } from '../../../snapshot/disk/create.ts';
import { describedGeometry } from '../../../snapshot/disk/description.ts';
import { Disk } from '../../../snapshot/disk/disk.ts';
import { DiskFolder, newLayerId } from '../../../snapshot/disk/disk-folder.ts';
import { digestLayer, knownDigest } from '../../../snapshot/disk/layer-digest.ts';
import { layerFileSize, NO_BASE, newLayerPieces } from '../../../snapshot/disk/layer-format.ts';
import { MAXIMUM_LAYERS } from '../../../snapshot/disk/owner-table.ts';
import { type FrozenDisk, shareLayers } from '../../../snapshot/disk/share-layers.ts';
import { mergeLayers } from '../../../snapshot/disk/tools/merge.ts';
import { DiskRig } from '../../support/disk-rig.ts';
import { Random } from '../../support/random.ts';
import { sameBytes } from '../../support/same-bytes.ts';
import { ServedDisk } from '../../support/served-disk.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const root = temporaryFolder();
let count = 0;
const newPath = () => join(root, `${count++}`);
const KIB = 1024;

async function newDisk(size = 256 * KIB): Promise<string> {
  const path = newPath();
  await createDisk(path, { size });
  return path;
}

const hasCode = (code: string) => (error: { code?: string }) => error.code === code;

async function failsWith(code: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    assert.is((error as { code?: string }).code, code, String(error));
    return;
  }
  assert.unreachable(`no ${code}`);
}

/** What the frozen layers read as. */
async function contentOf(frozen: FrozenDisk): Promise<Uint8Array> {
  const path = newPath();
  await createDisk(path, { frozen });
  const rig = await DiskRig.open(path, { writable: false });
  const content = rig.user.read(0, frozen.description.size_bytes);
  rig.drop();
  return content;
}

const test = suite('Disk');

test('what a guest writes through the device is there when the disk is opened again', async () => {
  const path = await newDisk();
  const data = new Random(1).bytes(100 * KIB);
  const first = await ServedDisk.open(path);
  await first.write(8 * KIB, data);
  await first.flush();
  sameBytes(await first.read(8 * KIB, data.length), data);
  const { write_count, write_bytes, read_count, flush_count } = first.disk.stats;
  assert.equal([write_count, write_bytes, read_count, flush_count], [1, data.length, 1, 1]);
  await first.close();
  const second = await ServedDisk.open(path);
  sameBytes(await second.read(8 * KIB, data.length), data);
  await second.close();
  const readOnly = await ServedDisk.open(path, { readOnly: true });
  sameBytes(await readOnly.read(8 * KIB, data.length), data);
  await readOnly.close();
});

test('a disk in use cannot be opened again for writing; two may read it', async () => {
  const path = await newDisk();
  const disk = await Disk.open(path, { name: 'disk0' });
  await failsWith('TSVMM_E_CONFLICT', () => Disk.open(path, { name: 'disk0' }));
  await failsWith('TSVMM_E_CONFLICT', () => Disk.open(path, { name: 'disk0', readOnly: true }));
  assert.is((await DiskFolder.describe(path)).size_bytes, 256 * KIB, 'but described');
  await disk.close();
  const readers = [
    await Disk.open(path, { name: 'a', readOnly: true }),
    await Disk.open(path, { name: 'b', readOnly: true }),
  ];
  await failsWith('TSVMM_E_CONFLICT', () => Disk.open(path, { name: 'disk0' }));
  for (const reader of readers) await reader.close();
  await (await Disk.open(path, { name: 'disk0' })).close();
});

test('createDisk refuses folders that are not empty and sizes that cannot be, and leaves nothing behind', async () => {
  const path = await newDisk();
  await failsWith('TSVMM_E_CONFLICT', () => createDisk(path, { size: 4096 }));
  const folder = newPath();
  mkdirSync(folder);
  writeFileSync(join(folder, 'precious'), '');
  await failsWith('TSVMM_E_CONFLICT', () => createDisk(folder, { size: 4096 }));
  assert.ok(existsSync(join(folder, 'precious')));
  for (const size of [0, -512, 100, 2 ** 60, Number.NaN]) {
    const other = newPath();
    await failsWith('TSVMM_E_DISK', () => createDisk(other, { size }));
    assert.not(existsSync(other));
  }
  await failsWith('TSVMM_E_DISK', () => createDisk(newPath(), { base: '/nowhere' }));
  await failsWith('TSVMM_E_NOT_FOUND', () => Disk.open(newPath(), { name: 'disk0' }));
});

test('freeze() without prepare() is refused and changes nothing', async () => {
  const disk = await Disk.open(await newDisk(), { name: 'disk0' });
  assert.throws(() => disk.freeze(), hasCode('TSVMM_E_INTERNAL'));
  await disk.prepare();
  await disk.prepare();
  disk.freeze();
  assert.throws(() => disk.freeze(), hasCode('TSVMM_E_INTERNAL'));
  await disk.seal();
  await disk.close();
});

test('a layer that was prepared and not used is gone after close(), and used as the top after a crash', async () => {
  const path = await newDisk();
  const served = await ServedDisk.open(path);
  await served.disk.prepare();
  assert.is((await DiskFolder.describe(path)).layers.length, 2);
  assert.is(served.disk.description.layers.length, 1);
  await served.close();
  assert.is((await DiskFolder.describe(path)).layers.length, 1);
  assert.equal(readdirSync(path).sort(), ['1.layer', 'disk.json', 'lock']);

  const rig = await DiskRig.open(path);
  const layer = await rig.folder.createLayer();
  await rig.folder.save({ ...rig.folder.description, layers: [...rig.folder.description.layers, layer] });
  rig.user.write(0, new Uint8Array(512).fill(7));
  rig.user.flush();
  rig.drop();
  writeFileSync(join(path, '99.layer'), 'left over by a crash');
  writeFileSync(join(path, 'disk.json.new'), 'the same');
  const reopened = await ServedDisk.open(path);
  assert.is(reopened.disk.description.layers.length, 2);
  sameBytes(await reopened.read(0, 512), new Uint8Array(512).fill(7));
  assert.equal(readdirSync(path).sort(), ['1.layer', '2.layer', 'disk.json', 'lock']);
  await reopened.close();
});

test('discard(): lets go of all files without a flush; what was sealed stays', async () => {
  const path = await newDisk();
  const openFiles = () => readdirSync('/proc/self/fd').length;
  const before = openFiles();
  const served = await ServedDisk.open(path);
  const data = new Random(4).bytes(64 * KIB);
  await served.write(0, data);
  await served.disk.prepare();
  const frozen = served.disk.freeze();
  await served.disk.seal();
  await served.write(0, new Uint8Array(64 * KIB));
  await served.disk.detach();
  await served.disk.discard();
  served.driver.close();
  assert.is(openFiles(), before);
  const shared = newPath();
  mkdirSync(shared);
  sameBytes(
    (await contentOf({ folder: shared, description: await shareLayers(frozen, shared) })).subarray(
      0,
      data.length,
    ),
    data,
  );
});

test('freezes during traffic: each shows exactly the requests that were completed at its cut', async () => {
  const size = 256 * KIB;
  const served = await ServedDisk.open(await newDisk(size), { areaCount: 32, areaBytes: 16 * KIB });
  const { disk, driver } = served;
  const { lock, queues } = driver.device.state;
  const random = new Random(3);
  /** Content after each request, as changes: what was written where. */
  const requests: { at: number; data: Uint8Array }[] = [];
  const cuts: { frozen: FrozenDisk; taken: number }[] = [];
  let finished = 0;
  const settle = () => {
    for (let completion = driver.take(); completion !== undefined; completion = driver.take()) {
      assert.is(completion.status, 0);
      finished++;
    }
  };
  while (cuts.length < 12) {
    await disk.prepare();
    for (let i = 0; i < 60; i++) {
      settle();
      while (driver.canSubmit && random.chance(80)) {
        if (random.chance(3)) {
          driver.flush();
          requests.push({ at: 0, data: new Uint8Array(0) });
          continue;
        }
        const length = 512 * (1 + random.below(20));
        const at = 512 * random.below((size - length) / 512);
        const data = random.bytes(length);
        driver.write(at / 512, data);
        requests.push({ at, data });
      }
      driver.kick();
    }
    lock.acquire();
    const queue = queues[0] as (typeof queues)[number];
    assert.is(queue.nextAvailable, queue.nextUsed, 'the device is at a descriptor boundary');
    const taken = queue.nextUsed;
    const frozen = disk.freeze();
    lock.release();
    cuts.push({ frozen, taken });
    if (random.chance(70)) await disk.seal();
  }
  while (finished < requests.length) {
    settle();
    await new Promise(resolve => setTimeout(resolve, 1));
  }
  await disk.seal();
  for (const { frozen, taken } of cuts) {
    const expected = new Uint8Array(size);
    for (const { at, data } of requests.slice(0, taken)) expected.set(data, at);
    sameBytes(await contentOf(frozen), expected, `the cut after ${taken} requests`);
  }
  await served.close();
});

test('shared layers are one file with several names; the new disk and the old go their own ways', async () => {
  const path = await newDisk(64 * KIB);
  const served = await ServedDisk.open(path);
  await served.write(0, new Uint8Array(8192).fill(1));
  await served.disk.prepare();
  const frozen = served.disk.freeze();
  await served.disk.seal();
  const snapshot = newPath();
  mkdirSync(snapshot);
  const description = await shareLayers(frozen, snapshot);
  assert.is(statSync(join(snapshot, '1.layer')).nlink, 2);
  const before = await digestLayer(join(snapshot, '1.layer'));
  assert.is(before.data_bytes, 8192);

  const clone = newPath();
  await createDisk(clone, { frozen: { folder: snapshot, description } });
  const restored = await ServedDisk.open(clone);
  sameBytes(await restored.read(0, 4096), new Uint8Array(4096).fill(1));
  await restored.write(0, new Uint8Array(4096).fill(2));
  await served.write(4096, new Uint8Array(4096).fill(3));
  sameBytes(await served.read(0, 4096), new Uint8Array(4096).fill(1));
  sameBytes(await restored.read(4096, 4096), new Uint8Array(4096).fill(1));
  await served.close();
  await restored.close();
  assert.equal(await digestLayer(join(snapshot, '1.layer')), before);
  (await DiskFolder.open(path, { writable: true })).remove();
  const again = await ServedDisk.open(clone);
  sameBytes(await again.read(0, 4096), new Uint8Array(4096).fill(2));
  await again.close();
});

test('a layer that is being written and has another name is refused', async () => {
  const path = await newDisk(64 * KIB);
  const { linkSync, unlinkSync } = await import('node:fs');
  const extra = newPath();
  linkSync(join(path, '1.layer'), extra);
  await failsWith('TSVMM_E_CONFLICT', () => Disk.open(path, { name: 'disk0' }));
  unlinkSync(extra);
  await (await Disk.open(path, { name: 'disk0' })).close();
});

test('a disk of as many layers as there can be works; with the next freeze most are merged', async () => {
  const path = await newDisk(8 * KIB);
  const rig = await DiskRig.open(path);
  rig.user.write(0, new Uint8Array(4096).fill(1));
  rig.close();
  // Empty layers, without the syncs that make freezing them one by one slow.
  const description = await DiskFolder.describe(path);
  const layers = [...description.layers];
  const geometry = describedGeometry(description);
  for (let i = 2; i <= MAXIMUM_LAYERS; i++) {
    const id = newLayerId();
    const parent = layers.at(-1)?.id as string;
    const bytes = new Uint8Array(layerFileSize(geometry));
    for (const piece of newLayerPieces({ id, parent, base: NO_BASE, geometry }))
      bytes.set(piece.bytes, piece.offset);
    writeFileSync(join(path, `${i}.layer`), bytes);
    layers.push({ file: `${i}.layer`, id });
  }
  writeFileSync(join(path, 'disk.json'), JSON.stringify({ ...description, layers }));
  const served = await ServedDisk.open(path);
  assert.is((await served.read(0, 512))[0], 1);
  await served.write(4096, new Uint8Array(4096).fill(9));
  assert.is((await served.read(4096, 512))[0], 9);
  await served.disk.prepare();
  served.disk.freeze();
  await served.disk.seal();
  assert.is(served.disk.description.layers.length, 4);
  assert.equal(
    await served.read(0, 8192),
    Uint8Array.from({ length: 8192 }, (_, i) => (i < 4096 ? 1 : 9)),
  );
  await served.close();
});

test('layers are merged while the guest uses the disk, and snapshots keep what they have', async () => {
  const size = 64 * KIB;
  const path = await newDisk(size);
  const served = await ServedDisk.open(path);
  const random = new Random(6);
  const model = new Uint8Array(size);
  const snapshots: { frozen: FrozenDisk; content: Uint8Array }[] = [];
  const longest = { layers: 0 };
  for (let i = 0; i < 75; i++) {
    const write = async () => {
      const at = 512 * random.below(size / 512 - 8);
      const data = random.bytes(512 * (1 + random.below(8)));
      await served.write(at, data);
      model.set(data, at);
    };
    await write();
    // Requests go on while layers are prepared, and merged, and between that and the freeze.
    const [read] = await Promise.all([served.read(0, size), served.disk.prepare()]);
    sameBytes(read, model, `round ${i}`);
    await write();
    sameBytes(await served.read(0, size), model, `round ${i}`);
    const frozen = served.disk.freeze();
    await served.disk.seal();
    longest.layers = Math.max(longest.layers, frozen.description.layers.length);
    if (i % 20 !== 0) continue;
    const folder = newPath();
    mkdirSync(folder);
    snapshots.push({
      frozen: { folder, description: await shareLayers(frozen, folder) },
      content: model.slice(),
    });
  }
  assert.ok(longest.layers <= 64, `${longest.layers} layers`);
  sameBytes(await served.read(0, size), model);
  await served.close();
  const reopened = await ServedDisk.open(path);
  sameBytes(await reopened.read(0, size), model);
  await reopened.close();
  for (const { frozen, content } of snapshots) sameBytes(await contentOf(frozen), content);
});

test('two prepare() at once make one layer', async () => {
  const path = await newDisk();
  const disk = await Disk.open(path, { name: 'disk0' });
  await Promise.all([disk.prepare(), disk.prepare()]);
  assert.is((await DiskFolder.describe(path)).layers.length, 2);
  await disk.close();
});

test('knownDigest is what digestLayer is, also of a merged layer', async () => {
  const path = await newDisk(64 * KIB);
  const rig = await DiskRig.open(path);
  for (let i = 1; i < 4; i++) {
    rig.user.write(4096 * i, new Uint8Array(8192).fill(i));
    await rig.freeze();
  }
  rig.close();
  for (const file of ['1.layer', '2.layer', '3.layer', '1.layer'])
    assert.equal(await knownDigest(join(path, file)), await digestLayer(join(path, file)));
  await mergeLayers(path, { first: 0, last: 2 });
  const [merged] = (await DiskFolder.describe(path)).layers;
  const file = join(path, merged?.file ?? '');
  assert.equal(await knownDigest(file), await digestLayer(file));
  assert.is((await knownDigest(file)).data_bytes, 4 * 4096);
});

test.run();
