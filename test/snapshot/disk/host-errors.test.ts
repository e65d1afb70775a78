/** What the disk does when the host's disk is full or broken. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { newLayerId } from '../../../snapshot/disk/disk-folder.ts';
import { diskGeometry } from '../../../snapshot/disk/geometry.ts';
import type { IoVector } from '../../../snapshot/disk/io-vector.ts';
import { Layer } from '../../../snapshot/disk/layer.ts';
import { layerFileSize, NO_BASE, NO_LAYER, newLayerPieces } from '../../../snapshot/disk/layer-format.ts';
import { LayeredDisk } from '../../../snapshot/disk/layered-disk.ts';
import { errno } from '../../../vmm/ffi/errno.ts';
import { DiskUser } from '../../support/disk-user.ts';
import { LossyFile } from '../../support/lossy-file.ts';
import { sameBytes } from '../../support/same-bytes.ts';

const { EIO, ENOSPC } = errno;
const geometry = diskGeometry(64 * 1024);

/** A file whose calls fail when the test says so. */
class FaultyFile extends LossyFile {
  /** What the next calls answer; 0 lets one through. */
  readonly writeResults: number[] = [];
  readonly pageWriteResults: number[] = [];
  readonly syncResults: number[] = [];

  override write(vector: IoVector, offset: number): number {
    return this.writeResults.shift() || super.write(vector, offset);
  }

  override writeAt(bytes: Uint8Array, offset: number): number {
    const isPage = offset >= geometry.dataEnd;
    return (isPage && this.pageWriteResults.shift()) || super.writeAt(bytes, offset);
  }

  override sync(): number {
    return this.syncResults.shift() || super.sync();
  }
}

interface Context {
  file: FaultyFile;
  disk: LayeredDisk;
  user: DiskUser;
}

const bytes = (fill: number, length = 4096) => new Uint8Array(length).fill(fill);

const test = suite<Context>('host errors');

test.before.each(context => {
  const file = new FaultyFile('faulty', layerFileSize(geometry), []);
  const header = { id: newLayerId(), parent: NO_LAYER, base: NO_BASE, geometry };
  for (const piece of newLayerPieces(header)) file.writeAt(piece.bytes, piece.offset);
  const layer = Layer.open(file);
  layer.startWriting();
  context.file = file;
  context.disk = new LayeredDisk({ geometry, base: undefined, layers: [layer], writable: true });
  context.user = new DiskUser(context.disk);
});

test.after.each(({ disk, user }) => {
  disk.close();
  user.free();
});

const resultOf = (work: () => void): string => {
  try {
    work();
    return 'done';
  } catch (error) {
    return (error as Error).message;
  }
};

test('a write that finds no space fails, changes nothing, and works once there is space', ({
  file,
  user,
}) => {
  user.write(0, bytes(1));
  for (const [offset, length] of [
    [4096, 4096],
    [4608, 512],
    [8192 - 512, 8192],
  ] as const) {
    file.writeResults.push(-ENOSPC);
    assert.is(
      resultOf(() => user.write(offset, bytes(2, length))),
      `the disk answered ${-ENOSPC}`,
    );
    sameBytes(user.read(4096, 12_288), bytes(0, 12_288));
  }
  user.write(4096, bytes(3));
  sameBytes(user.read(0, 8192), Uint8Array.of(...bytes(1), ...bytes(3)));
});

test('a flush that finds no space for the map fails, and one that does makes up for it', ({
  file,
  user,
  disk,
}) => {
  user.write(0, bytes(1));
  file.pageWriteResults.push(-ENOSPC);
  assert.is(
    resultOf(() => user.flush()),
    `the disk answered ${-ENOSPC}`,
  );
  assert.is(
    resultOf(() => user.flush()),
    'done',
  );
  user.write(4096, bytes(2));
  user.flush();
  const reopened = Layer.open(file);
  assert.is(reopened.content().dataBlocks, 2);
  assert.is(disk.flush(), 0);
});

test('after a sync that failed every flush fails, as nobody knows what is on the disk', ({
  file,
  user,
  disk,
}) => {
  user.write(0, bytes(1));
  file.syncResults.push(-EIO);
  assert.is(
    resultOf(() => user.flush()),
    `the disk answered ${-EIO}`,
  );
  assert.is(
    resultOf(() => user.flush()),
    `the disk answered ${-EIO}`,
  );
  user.write(4096, bytes(2));
  assert.is(
    resultOf(() => user.flush()),
    `the disk answered ${-EIO}`,
  );
  assert.is(disk.finish(), -EIO, 'nor is it closed as if all were well');
  assert.is(Layer.open(file).content().dataBlocks, 0, 'the map speaks of nothing that may not be there');
});

test('a failed sync of the map is no different', ({ file, user }) => {
  user.write(0, bytes(1));
  file.syncResults.push(0, -EIO);
  assert.is(
    resultOf(() => user.flush()),
    `the disk answered ${-EIO}`,
  );
  assert.is(
    resultOf(() => user.flush()),
    `the disk answered ${-EIO}`,
  );
});

test.run();
