import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DiskFolder } from '../../../snapshot/disk/disk-folder.ts';
import { digestLayer } from '../../../snapshot/disk/layer-digest.ts';
import { checkDisk } from '../../../snapshot/disk/tools/check.ts';
import { exportDisk } from '../../../snapshot/disk/tools/export.ts';
import { importDisk } from '../../../snapshot/disk/tools/import.ts';
import { diskInfo } from '../../../snapshot/disk/tools/info.ts';
import { mergeLayers } from '../../../snapshot/disk/tools/merge.ts';
import { DiskRig } from '../../support/disk-rig.ts';
import { Random } from '../../support/random.ts';
import { sameBytes } from '../../support/same-bytes.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { testUnless } from '../../support.ts';

const root = temporaryFolder();
let count = 0;
const newPath = () => join(root, `${count++}`);
const KIB = 1024;
const SIZE = 256 * KIB;

async function failsWith(code: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    assert.is((error as { code?: string }).code, code, String(error));
    return;
  }
  assert.unreachable(`no ${code}`);
}

async function contentOf(path: string): Promise<Uint8Array> {
  const rig = await DiskRig.open(path, { writable: false });
  const content = rig.user.read(0, rig.disk.geometry.size);
  rig.drop();
  return content;
}

/** A disk of 4 layers over a base, frozen one after the other, and its content at each freeze. */
async function newStack(): Promise<{ path: string; contents: Uint8Array[] }> {
  const random = new Random(count);
  const base = newPath();
  writeFileSync(base, random.bytes(SIZE / 2));
  const path = newPath();
  const rig = await DiskRig.create(path, { base, size: SIZE });
  const contents: Uint8Array[] = [];
  for (let layer = 0; layer < 4; layer++) {
    for (let i = 0; i < 6; i++)
      rig.user.write(512 * random.below(480), random.bytes(512 * (1 + random.below(24))));
    rig.user.writeZeroes(4096 * random.below(60), 8192);
    contents.push(rig.user.read(0, SIZE));
    if (layer < 3) await rig.freeze();
  }
  rig.close();
  return { path, contents };
}

const test = suite('disk tools');

test('diskInfo tells what the disk is made of, even while it is in use', async () => {
  const { path } = await newStack();
  const info = await diskInfo(path);
  assert.is(info.size_bytes, SIZE);
  assert.is(info.block_bytes, 4096);
  assert.is(info.base?.size_bytes, SIZE / 2);
  assert.not(info.in_use);
  assert.equal(
    info.layers.map(({ state }) => state),
    ['frozen', 'frozen', 'frozen', 'clean'],
  );
  for (const { data_bytes, zero_bytes, allocated_bytes, name_count } of info.layers) {
    assert.ok(data_bytes >= 4096 && zero_bytes % 4096 === 0 && name_count === 1);
    assert.ok(allocated_bytes >= data_bytes);
  }
  const rig = await DiskRig.open(path);
  const busy = await diskInfo(path);
  assert.ok(busy.in_use);
  assert.is(busy.layers.at(-1)?.state, 'live');
  rig.close();
});

test('exportDisk writes a raw file of what the disk reads as, now or at an earlier freeze', async () => {
  const { path, contents } = await newStack();
  const target = newPath();
  await exportDisk(path, target);
  sameBytes(new Uint8Array(readFileSync(target)), contents[3] as Uint8Array);
  for (const layerCount of [1, 2, 3]) {
    const earlier = newPath();
    await exportDisk(path, earlier, { layerCount });
    sameBytes(new Uint8Array(readFileSync(earlier)), contents[layerCount - 1] as Uint8Array);
  }
  await failsWith('TSVMM_E_CONFLICT', () => exportDisk(path, target));
  await failsWith('TSVMM_E_USAGE', () => exportDisk(path, newPath(), { layerCount: 5 }));
  const aborted = newPath();
  await failsWith('ABORT_ERR', () => exportDisk(path, aborted, { signal: AbortSignal.abort() })).catch(
    () => {},
  );
  assert.not(existsSync(aborted));
});

test('an export of a nearly empty disk is sparse', async () => {
  const path = newPath();
  const rig = await DiskRig.create(path, { size: 512 * 1024 * KIB });
  rig.user.write(300 * 1024 * KIB, new Uint8Array(4096).fill(1));
  rig.close();
  const target = newPath();
  assert.is(await exportDisk(path, target), 4096);
  assert.is(statSync(target).size, 512 * 1024 * KIB);
  assert.ok(statSync(target).blocks * 512 < 128 * KIB);
});

test('importDisk copies a raw file, zeros left out', async () => {
  const random = new Random(4);
  const raw = newPath();
  const content = new Uint8Array(3 * 1024 * KIB + 5 * 512 + 100);
  content.set(random.bytes(10_000), 100_000);
  content.set(random.bytes(5000), content.length - 5000);
  writeFileSync(raw, content);
  const path = newPath();
  await importDisk(raw, path);
  const expected = new Uint8Array(3 * 1024 * KIB + 6 * 512);
  expected.set(content);
  sameBytes(await contentOf(path), expected);
  const info = await diskInfo(path);
  assert.ok((info.layers[0]?.data_bytes ?? 0) <= 7 * 4096, 'zeros take no space');
  assert.is(info.layers[0]?.state, 'clean');
  await failsWith('TSVMM_E_CONFLICT', () => importDisk(raw, path));
  await failsWith('TSVMM_E_DISK', () => importDisk('/nowhere', newPath()));
  const aborted = newPath();
  await importDisk(raw, aborted, { signal: AbortSignal.abort() }).then(
    () => assert.unreachable(),
    () => {},
  );
  assert.not(existsSync(aborted));
});

const lacksQemuImage = (): string | undefined => {
  try {
    execFileSync('qemu-img', ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'qemu-img is not installed';
  }
};

testUnless(
  lacksQemuImage(),
  test,
  'importDisk reads qcow2, but none that refers to other files',
  async () => {
    const raw = newPath();
    const content = new Random(8).bytes(SIZE);
    writeFileSync(raw, content);
    const image = newPath();
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, image]);
    const path = newPath();
    await importDisk(image, path);
    sameBytes(await contentOf(path), content);
    const leech = newPath();
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', raw, leech]);
    await failsWith('TSVMM_E_DISK', () => importDisk(leech, newPath()));
    const asRaw = newPath();
    await importDisk(image, asRaw, { format: 'raw' });
    assert.is((await contentOf(asRaw)).length, Math.ceil(statSync(image).size / 512) * 512);
    assert.equal(
      readdirSync(root).filter(name => name.startsWith('.tsvmm-import')),
      [],
      'no temporary file is left',
    );
  },
);

test('mergeLayers keeps what the disk reads as, whichever layers are merged', async () => {
  for (const [first, last] of [
    [0, 1],
    [1, 2],
    [2, 3],
    [0, 3],
    [1, 3],
  ] as const) {
    const { path, contents } = await newStack();
    await mergeLayers(path, { first, last });
    const description = await DiskFolder.describe(path);
    assert.is(description.layers.length, 4 - (last - first));
    sameBytes(await contentOf(path), contents[3] as Uint8Array, `layers ${first} to ${last}`);
    assert.equal((await checkDisk(path, { readData: true })).problems, []);
    assert.equal(
      readdirSync(path).sort(),
      [...description.layers.map(({ file }) => file), 'disk.json', 'lock'].sort(),
    );
    const rig = await DiskRig.open(path);
    rig.user.write(0, new Uint8Array(512).fill(1));
    await rig.freeze();
    rig.close();
    const [expected] = contents.slice(-1) as [Uint8Array];
    expected.fill(1, 0, 512);
    sameBytes(await contentOf(path), expected);
  }
});

test('mergeLayers takes nothing away from a snapshot that has names for the layers', async () => {
  const { path, contents } = await newStack();
  const snapshot = newPath();
  mkdirSync(snapshot);
  const { layers } = await DiskFolder.describe(path);
  const files = layers.slice(0, 3).map(({ file }) => file);
  for (const file of files) linkSync(join(path, file), join(snapshot, file));
  const before = await Promise.all(files.map(file => digestLayer(join(snapshot, file))));
  await mergeLayers(path);
  sameBytes(await contentOf(path), contents[3] as Uint8Array);
  assert.equal(await Promise.all(files.map(file => digestLayer(join(snapshot, file)))), before);
});

test('mergeLayers refuses what cannot be merged, and leaves the disk as it is', async () => {
  const { path, contents } = await newStack();
  for (const options of [{ first: 3 }, { first: -1 }, { last: 4 }, { first: 2, last: 1 }, { first: 0.5 }])
    await failsWith('TSVMM_E_USAGE', () => mergeLayers(path, options));
  const rig = await DiskRig.open(path);
  await failsWith('TSVMM_E_CONFLICT', () => mergeLayers(path));
  rig.close();
  await mergeLayers(path, { signal: AbortSignal.abort() }).then(
    () => assert.unreachable(),
    () => {},
  );
  assert.equal(readdirSync(path).sort(), ['1.layer', '2.layer', '3.layer', '4.layer', 'disk.json', 'lock']);
  sameBytes(await contentOf(path), contents[3] as Uint8Array);
});

test('checkDisk names every damaged layer, and remarks on a disk that was not closed', async () => {
  const { path } = await newStack();
  assert.equal(await checkDisk(path), { path, problems: [], remarks: [], data_bytes: 0 });
  assert.ok((await checkDisk(path, { readData: true })).data_bytes > 0);
  const rig = await DiskRig.open(path);
  await failsWith('TSVMM_E_CONFLICT', () => checkDisk(path));
  rig.drop();
  assert.is((await checkDisk(path)).remarks.length, 1);
  for (const file of ['1.layer', '3.layer']) writeFileSync(join(path, file), 'damaged');
  assert.is((await checkDisk(path)).problems.length, 2);
  writeFileSync(join(path, 'disk.json'), '{}');
  assert.is((await checkDisk(path)).problems.length, 1);
  await failsWith('TSVMM_E_NOT_FOUND', () => checkDisk(newPath()));
});

test.run();
