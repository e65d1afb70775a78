/**
 * The process that the crash test kills: a guest writes numbered sectors to a disk as fast as it can, flushes,
 * discards, and freezes, and tells about each request on stdout before it is made and after it is done.
 *
 *   crash-child.js FOLDER SEED NEXT_VERSION thread|inline
 */
import { writeSync } from 'node:fs';
import { DiskFolder } from '../../../snapshot/disk/disk-folder.ts';
import { RequestType } from '../../../vmm/devices/virtio/block/model.ts';
import { DiskRig } from '../../support/disk-rig.ts';
import { Random } from '../../support/random.ts';
import { ServedDisk } from '../../support/served-disk.ts';
import { BLOCK, BLOCKS, numberedSectors, SECTORS, WHOLE_BLOCKS } from './crash-content.ts';

const [path, seed, first, mode] = process.argv.slice(2) as [string, string, string, string];
const random = new Random(Number(seed));
let nextVersion = Number(first);
const MAXIMUM_LAYERS = 6;

/** A write to a pipe of less than 4 KiB is in it whole, or not at all (pipe(7)), whatever becomes of us. */
const tell = (event: unknown): void => void writeSync(1, `${JSON.stringify(event)}\n`);

interface Operations {
  write(offset: number, data: Uint8Array): Promise<void>;
  zero(offset: number, length: number): Promise<void>;
  flush(): Promise<void>;
  freeze(): Promise<void>;
}

async function inline(): Promise<Operations> {
  const rig = await DiskRig.open(path);
  rig.disk.seal();
  return {
    write: async (offset, data) => rig.user.write(offset, data),
    zero: async (offset, length) => rig.user.writeZeroes(offset, length),
    flush: async () => rig.user.flush(),
    freeze: async () => {
      await rig.freeze();
      if (random.chance(50)) rig.disk.seal();
    },
  };
}

async function throughThread(): Promise<Operations> {
  const served = await ServedDisk.open(path);
  const { driver, disk } = served;
  return {
    write: (offset, data) => served.write(offset, data),
    zero: async (offset, length) => {
      driver.changeRanges(RequestType.WRITE_ZEROES, [{ sector: offset / 512, count: length / 512 }]);
      driver.kick();
      await served.finish();
    },
    flush: () => served.flush(),
    freeze: async () => {
      await disk.prepare();
      driver.device.state.lock.acquire();
      disk.freeze();
      driver.device.state.lock.release();
      if (random.chance(50)) await disk.seal();
    },
  };
}

async function step(disk: Operations): Promise<void> {
  const version = nextVersion++;
  const kind = random.below(100);
  if (kind < 60) {
    const block = random.below(BLOCKS);
    const count = 1 + random.below(Math.min(4, BLOCKS - block));
    tell({ issued: version, sector: block * 8, count: count * 8 });
    await disk.write(block * BLOCK, numberedSectors(block * 8, count * 8, version));
  } else if (kind < 75) {
    // Parts of blocks are written behind those that are written as a whole only.
    const sector = WHOLE_BLOCKS * 8 + random.below(SECTORS - WHOLE_BLOCKS * 8);
    tell({ issued: version, sector, count: 1 });
    await disk.write(sector * 512, numberedSectors(sector, 1, version));
  } else if (kind < 83) {
    const block = random.below(BLOCKS);
    tell({ issued: 0, sector: block * 8, count: 8 });
    await disk.zero(block * BLOCK, BLOCK);
  } else if (kind < 98) {
    await disk.flush();
    tell('flushed');
  } else if ((await DiskFolder.describe(path)).layers.length < MAXIMUM_LAYERS) {
    await disk.freeze();
  }
}

const disk = await (mode === 'thread' ? throughThread() : inline());
tell('ready');
for (;;) await step(disk);
