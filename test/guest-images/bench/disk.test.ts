import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testUnless } from '../../support.ts';
import { fatalOf, type GuestEvent, imageOrObstacle, lastStat, Microvm } from './microvm.ts';

const test = suite('bench guest: disk workload');
const { image, obstacle } = await imageOrObstacle();
const directory = mkdtempSync(join(tmpdir(), 'tsvmm-guest-disk-'));
test.after(() => rmSync(directory, { recursive: true }));

const DISK_BYTES = 8 << 20;
const BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;
let disks = 0;

/** An empty disk, and what QEMU is to be told about it. */
function createDisk(): { path: string; devices: string[] } {
  const path = join(directory, `disk${disks++}`);
  writeFileSync(path, '');
  truncateSync(path, DISK_BYTES);
  const drive = `file=${path},if=none,id=disk,format=raw,cache=writeback`;
  return { path, devices: ['-drive', drive, '-device', 'virtio-blk-device,drive=disk'] };
}

/** Writes with flushes until some are reported, then dies without warning. Answers the last reported flush. */
async function writeAndCrash(devices: string[], words: string): Promise<number> {
  const guest = new Microvm(image, `disk op=write ${words}`, { devices });
  const blocks = DISK_BYTES / BLOCK_BYTES;
  await guest.until(({ event, seq }) => event === 'flushed' && (seq as number) > blocks * 1.5);
  guest.kill();
  const events = await guest.ended;
  return Math.max(...events.filter(({ event }) => event === 'flushed').map(({ seq }) => seq as number));
}

async function verify(devices: string[], words: string): Promise<readonly GuestEvent[]> {
  const guest = new Microvm(image, `disk op=verify depth=16 ${words}`, { devices });
  await guest.until(({ event }) => event === 'verified' || event === 'fatal');
  guest.kill();
  return await guest.ended;
}

for (const operation of ['write', 'read', 'mixed']) {
  testUnless(obstacle, test, `op=${operation} runs clean, in sequence and random`, async () => {
    for (const words of ['depth=1', 'depth=32 pattern=random flush=1000', 'depth=4 bs=64K']) {
      const { devices } = createDisk();
      const events = await new Microvm(image, `disk op=${operation} ${words} run=1`, { devices }).ended;
      assert.is(fatalOf(events), undefined, words);
      const { ops = 0, reads = 0, writes = 0 } = lastStat(events, 'disk');
      assert.is(ops, reads + writes);
      assert.ok(writes > 50 && (operation === 'write' || reads > 50), JSON.stringify(events.at(-2)));
    }
  });
}

testUnless(obstacle, test, 'what was flushed is there after a crash, and a run goes on from it', async () => {
  const { devices } = createDisk();
  for (const pattern of ['random', 'seq']) {
    const words = `depth=8 pattern=${pattern}`;
    let flushed = await writeAndCrash(devices, `${words} flush=300`);
    const [, verified] = await verify(devices, `flushed=${flushed} ${words}`);
    assert.is(verified?.event, 'verified', JSON.stringify(verified));
    assert.is(verified?.blocks, DISK_BYTES / BLOCK_BYTES);
    flushed = await writeAndCrash(devices, `${words} flush=300 start=${flushed}`);
    assert.is(fatalOf(await verify(devices, `flushed=${flushed} ${words}`)), undefined);
    truncateSync(devices[1]?.match(/file=([^,]*)/)?.[1] ?? '', 0);
    truncateSync(devices[1]?.match(/file=([^,]*)/)?.[1] ?? '', DISK_BYTES);
  }
});

const BLOCK = 70;
const SECTOR = 3;
const damages: [name: string, spoil: (sector: Buffer, disk: number) => void, why: RegExp][] = [
  ['a flipped bit', sector => sector.writeUInt8(sector.readUInt8(100) ^ 4, 100), /block 70 is damaged/],
  ['a lost sector', sector => sector.fill(0), /block 70 is all zero/],
  [
    'a sector of another block',
    (sector, disk) => readSync(disk, sector, 0, SECTOR_BYTES, 99 * BLOCK_BYTES + SECTOR * SECTOR_BYTES),
    /block 70 is of another block/,
  ],
];
for (const [name, spoil, why] of damages) {
  testUnless(obstacle, test, `verify finds ${name}`, async () => {
    const { path, devices } = createDisk();
    const flushed = await writeAndCrash(devices, 'depth=8 flush=500');
    const disk = openSync(path, 'r+');
    const sector = Buffer.alloc(SECTOR_BYTES);
    const position = BLOCK * BLOCK_BYTES + SECTOR * SECTOR_BYTES;
    readSync(disk, sector, 0, SECTOR_BYTES, position);
    spoil(sector, disk);
    writeSync(disk, sector, 0, SECTOR_BYTES, position);
    closeSync(disk);
    assert.match(fatalOf(await verify(devices, `flushed=${flushed}`)) ?? '', why);
  });
}

testUnless(obstacle, test, 'verify finds a block that is older than what was flushed', async () => {
  const { devices } = createDisk();
  const flushed = await writeAndCrash(devices, 'depth=8 flush=500');
  const later = flushed + DISK_BYTES / BLOCK_BYTES;
  assert.match(
    fatalOf(await verify(devices, `flushed=${later}`)) ?? '',
    /holds write \d+, but write \d+ was flushed/,
  );
});

test.run();
