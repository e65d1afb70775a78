import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DiskRig } from '../../support/disk-rig.ts';
import { Random } from '../../support/random.ts';
import { sameBytes } from '../../support/same-bytes.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const folder = temporaryFolder();
let diskCount = 0;
const newPath = () => join(folder, `disk${diskCount++}`);

const KIB = 1024;
const SECTOR = 512;

const test = suite('LayeredDisk');

test('an empty disk reads as zeros, in any pieces', async () => {
  const rig = await DiskRig.create(newPath(), { size: 64 * KIB });
  sameBytes(rig.user.read(0, 64 * KIB, [1, 4095, 777]), new Uint8Array(64 * KIB));
  rig.close();
});

test('a write of a whole block copies nothing, one of a part completes the block from below', async () => {
  const random = new Random(1);
  const base = join(folder, 'base.raw');
  const content = random.bytes(64 * KIB);
  writeFileSync(base, content);
  const rig = await DiskRig.create(newPath(), { base });
  rig.user.write(4096, content.subarray(0, 8192));
  assert.is(rig.stats.report().copied_block_count, 0);
  rig.user.write(512, content.subarray(0, 1024));
  rig.user.write(20 * KIB + 512, content.subarray(0, 8 * KIB));
  assert.is(rig.stats.report().copied_block_count, 3);
  rig.user.write(1024, content.subarray(0, 512));
  assert.is(rig.stats.report().copied_block_count, 3, 'a block is completed once');
  const expected = content.slice();
  expected.set(content.subarray(0, 8192), 4096);
  expected.set(content.subarray(0, 1024), 512);
  expected.set(content.subarray(0, 8 * KIB), 20 * KIB + 512);
  expected.set(content.subarray(0, 512), 1024);
  sameBytes(rig.user.read(0, 64 * KIB), expected);
  rig.close();
});

test('a base that ends within a block, or before the disk does, is followed by zeros', async () => {
  const base = join(folder, 'odd.raw');
  const content = new Random(2).bytes(5000);
  writeFileSync(base, content);
  const odd = await DiskRig.create(newPath(), { base });
  assert.is(odd.disk.geometry.size, 5120);
  const expected = new Uint8Array(5120);
  expected.set(content);
  sameBytes(odd.user.read(0, 5120), expected);
  odd.close();
  const larger = await DiskRig.create(newPath(), { base, size: 16 * KIB });
  larger.user.write(4608, Uint8Array.of(...new Uint8Array(512).fill(7)));
  const grown = new Uint8Array(16 * KIB);
  grown.set(content);
  grown.fill(7, 4608, 5120);
  sameBytes(larger.user.read(0, 16 * KIB), grown);
  larger.close();
  const smaller = await DiskRig.create(newPath(), { base, size: 1024 });
  sameBytes(smaller.user.read(0, 1024), content.slice(0, 1024));
  smaller.close();
});

test('a read-only disk refuses writes, discards and zeroing', async () => {
  const path = newPath();
  (await DiskRig.create(path, { size: 8 * KIB })).close();
  const rig = await DiskRig.open(path, { writable: false });
  assert.throws(() => rig.user.write(0, new Uint8Array(512)), /-30/);
  assert.throws(() => rig.user.discard(0, 4096), /-30/);
  assert.throws(() => rig.user.writeZeroes(0, 4096), /-30/);
  rig.user.flush();
  sameBytes(rig.user.read(0, 512), new Uint8Array(512));
  rig.drop();
});

/** The same operations on a disk and on plain bytes; after each round the two must be equal. */
async function compareWithModel(seed: number, blockSize: number): Promise<void> {
  const random = new Random(seed);
  const size = (24 + random.below(80)) * 4 * KIB + random.below(8) * SECTOR;
  const model = new Uint8Array(size);
  const base = join(folder, `base${seed}.raw`);
  const hasBase = random.chance(50);
  if (hasBase) {
    const content = random.bytes(1 + random.below(size));
    writeFileSync(base, content);
    model.set(content);
  }
  const path = newPath();
  let rig = await DiskRig.create(path, hasBase ? { base, size } : { size }, blockSize);
  const range = () => {
    const sectors = size / SECTOR;
    const first = random.below(sectors);
    const longest = random.chance(20) ? sectors : 40;
    return { at: first * SECTOR, length: (1 + random.below(Math.min(longest, sectors - first))) * SECTOR };
  };
  const pieces = () => Array.from({ length: random.below(6) }, () => 1 + random.below(6000));
  const steps: (() => void | Promise<void>)[] = [
    () => {
      const { at, length } = range();
      sameBytes(
        rig.user.read(at, length, pieces()),
        model.slice(at, at + length),
        `seed ${seed}: read ${at}+${length}`,
      );
    },
    () => {
      const { at, length } = range();
      const data = random.bytes(length);
      rig.user.write(at, data, pieces());
      model.set(data, at);
    },
    () => {
      const { at, length } = range();
      rig.user.writeZeroes(at, length);
      model.fill(0, at, at + length);
    },
    () => {
      // Whole blocks that are discarded read as zeros here, as the model must know what they read as.
      const { at, length } = range();
      const first = Math.ceil(at / blockSize) * blockSize;
      const end = at + length === size ? size : Math.floor((at + length) / blockSize) * blockSize;
      rig.user.discard(at, length);
      if (first < end) model.fill(0, first, end);
    },
    () => rig.user.flush(),
    () => (rig.folder.description.layers.length < 8 ? rig.freeze() : undefined),
    () => void rig.disk.seal(),
    async () => {
      rig.close();
      rig = await DiskRig.open(path);
    },
    async () => {
      rig.user.flush();
      rig.drop();
      rig = await DiskRig.open(path);
    },
  ];
  const weights = [30, 40, 8, 8, 4, 3, 1, 1, 1];
  const choices = steps.flatMap((step, i) => Array<typeof step>(weights[i] as number).fill(step));
  for (let i = 0; i < 250; i++) await random.pick(choices)();
  sameBytes(rig.user.read(0, size), model, `seed ${seed}`);
  rig.close();
}

test('random operations on up to 8 layers agree with a model in memory', async () => {
  for (let seed = 1; seed <= 24; seed++)
    await compareWithModel(seed, [4096, 4096, 8192, 65536][seed % 4] as number);
});

test.run();
