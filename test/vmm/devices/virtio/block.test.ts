import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { blockConfig } from '../../../../vmm/devices/virtio/block/config.ts';
import { BlockHandler } from '../../../../vmm/devices/virtio/block/handler.ts';
import {
  BlockFeature,
  blockModel,
  MAXIMUM_DISCARD_SECTORS,
  RequestStatus,
  RequestType,
} from '../../../../vmm/devices/virtio/block/model.ts';
import { ServedDevice } from '../../../../vmm/devices/virtio/served-device.ts';
import { errno } from '../../../../vmm/ffi/errno.ts';
import { EventLoop } from '../../../../vmm/io/event-loop.ts';
import { gpa, gpaOffset, MIB } from '../../../../vmm/memory/address.ts';
import { BlockDriver, type Completion, type RequestShape } from '../../../support/block-driver.ts';
import { MemoryBlockBackend } from '../../../support/memory-block-backend.ts';
import { pump } from '../../../support/virtio-driver.ts';

const CAPACITY = MIB;
const SECTORS = CAPACITY / 512;
const { OK, IOERR, UNSUPP } = RequestStatus;

/** A driver, a device and a backend in one thread: run() lets the device do what there is to do. */
class Bench {
  readonly driver: BlockDriver;
  readonly backend = new MemoryBlockBackend(CAPACITY);
  readonly loop = new EventLoop();
  readonly handler: BlockHandler;

  constructor({ readOnly = false, without = 0n }: { readOnly?: boolean; without?: bigint } = {}) {
    this.driver = new BlockDriver({ sectorCount: SECTORS, readOnly });
    this.driver.initialize({ without });
    const { attachment } = this.driver.device;
    const served = new ServedDevice(attachment, this.driver.guest.memory);
    this.handler = new BlockHandler(served, attachment, this.loop, this.backend, {
      sectorCount: SECTORS,
      readOnly,
      id: 'disk0',
    });
    pump(this.loop);
    this.backend.log.length = 0;
  }

  run(): void {
    this.driver.kick();
    pump(this.loop);
  }

  finish(): Completion {
    this.run();
    const completion = this.driver.take();
    if (completion === undefined) throw new Error('the request is not finished');
    return completion;
  }

  read(sector: number, length: number, shape?: RequestShape): Completion {
    this.driver.read(sector, length, shape);
    return this.finish();
  }

  write(sector: number, data: Uint8Array, shape?: RequestShape): Completion {
    this.driver.write(sector, data, shape);
    return this.finish();
  }

  close(): void {
    this.handler.detach();
    this.loop.close();
    this.driver.close();
  }
}

const pattern = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

interface Context {
  bench: Bench;
}
const test = suite<Context>('virtio-blk');
test.before.each(context => {
  context.bench = new Bench();
});
test.after.each(({ bench }) => bench.close());

test('blockModel tells capacity, limits and features in the configuration space', () => {
  const config = blockConfig.at(blockModel({ sectorCount: 2048, readOnly: false }).config.buffer);
  assert.is(config.capacity, 2048);
  assert.is(config.blk_size, 512);
  assert.is(config.seg_max, 254);
  assert.is(config.discard_sector_alignment, 8);
  assert.is(blockConfig.offsets.blk_size, 20);
  assert.is(blockConfig.offsets.max_discard_sectors, 36);
  assert.is(blockConfig.offsets.write_zeroes_may_unmap, 56);
  const readOnly = blockModel({ sectorCount: 1, readOnly: true });
  assert.is(readOnly.features & BlockFeature.RO, BlockFeature.RO);
  assert.is(readOnly.features & (BlockFeature.DISCARD | BlockFeature.WRITE_ZEROES), 0n);
});

test('a write and a read carry the data, whole or in many pieces, direct or indirect', ({ bench }) => {
  const shapes: RequestShape[] = [
    {},
    { pieces: [1, 511, 3, 4093] },
    { pieces: Array(200).fill(16) },
    { indirect: true },
    { indirect: true, pieces: Array(100).fill(33) },
  ];
  for (const [i, shape] of shapes.entries()) {
    const data = pattern(16384, i);
    const written = bench.write(10 + 32 * i, data, shape);
    assert.is(written.status, OK);
    assert.is(written.written, 1);
    const { status, written: readBytes, data: back } = bench.read(10 + 32 * i, 16384, shape);
    assert.is(status, OK);
    assert.is(readBytes, 16385);
    assert.equal(back, data);
  }
});

test('a header and a status byte in pieces, anywhere in a buffer, are understood', ({ bench }) => {
  const { guest, queue } = bench.driver;
  const area = guest.allocate(8192, 4096);
  const { memory } = guest;
  // The header lies at an odd address in three pieces, directly followed by data; data and status share a buffer.
  const at = gpaOffset(area, 1);
  memory.copyIn(at, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0));
  memory.copyIn(gpaOffset(at, 16), pattern(512, 9));
  const status = gpaOffset(area, 4096);
  queue.add(
    [
      { at, length: 3 },
      { at: gpaOffset(at, 3), length: 9 },
      { at: gpaOffset(at, 12), length: 4 + 512 },
    ],
    [
      { at: status, length: 7 },
      { at: status, length: 0 },
    ],
  );
  bench.run();
  assert.is(queue.takeUsed()?.written, 1);
  assert.is(memory.readU8(gpaOffset(status, 6)), OK);
  assert.equal(bench.backend.content.subarray(5 * 512, 6 * 512), pattern(512, 9));

  memory.writeU8(at, RequestType.IN);
  queue.add([{ at, length: 16 }], [{ at: gpaOffset(area, 2048), length: 513 }]);
  bench.run();
  assert.is(queue.takeUsed()?.written, 513);
  assert.equal(guest.bytes(gpaOffset(area, 2048), 513), Uint8Array.of(...pattern(512, 9), OK));
});

test('requests beyond the capacity or of odd length are IOERR and touch nothing', ({ bench }) => {
  const cases = [
    { sector: SECTORS, length: 512 },
    { sector: SECTORS - 1, length: 1024 },
    { sector: 2 ** 40, length: 512 },
    { sector: 0, length: 511 },
    { sector: 0, length: 513 },
  ];
  for (const { sector, length } of cases) {
    assert.is(bench.read(sector, length).status, IOERR);
    assert.is(bench.write(sector, new Uint8Array(length)).status, IOERR);
  }
  const { memory } = bench.driver.guest;
  bench.driver.read(0, 512);
  // Sectors that only 64 bits hold, of the same request.
  const header = memory.readU64(bench.driver.queue.descriptors);
  for (const sector of [0xffffffffffffffffn, 0x8000000000000000n]) {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, sector, true);
    memory.copyIn(gpa(header + 8), bytes);
  }
  assert.is(bench.finish().status, IOERR);
  assert.equal(
    bench.backend.log.filter(line => /read|write/.test(line)),
    [],
  );
});

test('requests of no data and of unknown types are answered', ({ bench }) => {
  assert.is(bench.read(0, 0).status, OK);
  assert.is(bench.write(0, new Uint8Array(0)).status, OK);
  for (const type of [2, 3, 10, 14, 15, 0xffffffff]) {
    bench.driver.submit(type, 0, { length: 512, writable: true });
    assert.is(bench.finish().status, UNSUPP);
  }
});

test('GET_ID fills in the name, padded with zeros', ({ bench }) => {
  bench.driver.submit(RequestType.GET_ID, 0, { length: 20, writable: true, pieces: [3] });
  const { status, data, written } = bench.finish();
  assert.is(status, OK);
  assert.is(written, 21);
  assert.is(Buffer.from(data).toString('latin1'), 'disk0'.padEnd(20, '\0'));
});

test('a failed operation of the backend is IOERR and the next one works', ({ bench }) => {
  bench.backend.failsOnce = -errno.EIO;
  const failed = bench.read(0, 512);
  assert.is(failed.status, IOERR);
  assert.is(failed.written, 1);
  assert.is(bench.read(0, 512).status, OK);
});

test('DISCARD and WRITE_ZEROES validate all ranges before they touch one', ({ bench }) => {
  const { driver, backend } = bench;
  const finish = (type: number, ranges: Parameters<BlockDriver['changeRanges']>[1]) => {
    driver.changeRanges(type, ranges);
    return bench.finish().status;
  };
  const { DISCARD, WRITE_ZEROES } = RequestType;
  const good = { sector: 8, count: 8 };
  assert.is(finish(DISCARD, [good, { sector: SECTORS, count: 1 }]), IOERR);
  assert.is(finish(DISCARD, [good, { sector: 0, count: MAXIMUM_DISCARD_SECTORS + 1 }]), IOERR);
  assert.is(finish(DISCARD, [good, { ...good, flags: 1 }]), UNSUPP);
  assert.is(finish(WRITE_ZEROES, [good, { ...good, flags: 2 }]), UNSUPP);
  assert.is(finish(DISCARD, Array(17).fill(good)), IOERR);
  assert.is(finish(DISCARD, []), IOERR);
  assert.equal(
    backend.log.filter(line => /discard|zero/.test(line)),
    [],
  );
  assert.is(finish(WRITE_ZEROES, [{ ...good, flags: 1 }]), OK);
  assert.is(finish(DISCARD, [good, { sector: 100, count: 0 }, { sector: 16, count: 1 }]), OK);
  assert.equal(
    backend.log.filter(line => /discard|zero/.test(line)),
    ['zero 4096+4096', 'discard 4096+4096', 'discard 8192+512'],
  );
  driver.submit(DISCARD, 0, { data: new Uint8Array(24), length: 24, writable: false });
  assert.is(bench.finish().status, IOERR);
});

test('a request that would block is put back, waited for outside of the lock, and done once', ({ bench }) => {
  const { backend, driver } = bench;
  backend.content.set(pattern(512, 3), 512);
  for (const name of ['read', 'flush']) {
    backend.log.length = 0;
    backend.blocksOnce = name;
    driver.read(1, 512);
    driver.flush();
    driver.read(2, 512);
    driver.kick();
    let available = -1;
    let isFree = false;
    backend.wait = () => {
      backend.log.push('wait');
      isFree = driver.device.state.lock.tryAcquire();
      available = driver.device.state.queues[0]?.nextAvailable as number;
      driver.device.state.lock.release();
    };
    const before = driver.device.state.queues[0]?.nextAvailable as number;
    pump(bench.loop);
    assert.ok(isFree, 'the lock is free while the backend waits');
    assert.is(available, before + (name === 'read' ? 0 : 1), 'the blocked request is still in the queue');
    const order = [driver.take(), driver.take(), driver.take()];
    assert.equal(
      order.map(completion => completion?.status),
      [OK, OK, OK],
    );
    assert.equal(order[0]?.data, pattern(512, 3));
    assert.ok(backend.log.includes('prefetch 1024+512'), 'reads behind it are announced');
    assert.equal(
      backend.log.filter(line => /^(read|flush|wait)/.test(line)),
      name === 'read'
        ? ['read would block', 'wait', 'read 512+512', 'flush', 'read 1024+512']
        : ['read 512+512', 'flush would block', 'wait', 'flush', 'read 1024+512'],
    );
  }
});

test('a write is flushed before it is completed when the driver did not negotiate FLUSH', () => {
  const bench = new Bench({ without: BlockFeature.FLUSH });
  bench.backend.blocksOnce = 'flush';
  assert.is(bench.write(0, new Uint8Array(512)).status, OK);
  assert.equal(bench.backend.log.slice(-4), ['write 0+512', 'flush would block', 'wait', 'flush']);
  bench.close();
});

test('a read-only device refuses everything that writes', () => {
  const bench = new Bench({ readOnly: true });
  assert.is(bench.write(0, new Uint8Array(512)).status, IOERR);
  bench.driver.changeRanges(RequestType.DISCARD, [{ sector: 0, count: 8 }]);
  assert.is(bench.finish().status, IOERR);
  assert.is(bench.read(0, 512).status, OK);
  bench.close();
});

test('DISCARD that was not negotiated is UNSUPP', () => {
  const bench = new Bench({ without: BlockFeature.DISCARD });
  bench.driver.changeRanges(RequestType.DISCARD, [{ sector: 0, count: 8 }]);
  assert.is(bench.finish().status, UNSUPP);
  bench.close();
});

test('requests are completed in order, in batches, with the interrupts that the driver wants', ({
  bench,
}) => {
  const { driver } = bench;
  const heads: number[] = [];
  driver.queue.wantInterruptAfter(3);
  for (let i = 0; i < 2; i++) heads.push(driver.read(i, 512));
  bench.run();
  assert.not(driver.device.takeInterrupt(), 'not before the third');
  for (let i = 0; i < 4; i++) heads.push(driver.read(i, 512));
  bench.run();
  assert.ok(driver.device.takeInterrupt());
  assert.equal(
    heads.map(() => driver.take()?.head),
    heads,
  );
});

test('what is no request at all makes the device ask for a reset, after which it works again', ({
  bench,
}) => {
  const { driver } = bench;
  const { guest } = driver;
  const at = guest.allocate(64);
  const chains: [readable: number[], writable: number[]][] = [
    [[15], [1]],
    [[16], []],
    [[], [16]],
    [
      [16, 0],
      [0, 0],
    ],
  ];
  for (const [readable, writable] of chains) {
    driver.queue.add(
      readable.map(length => ({ at, length })),
      writable.map(length => ({ at, length })),
    );
    bench.run();
    assert.ok(driver.device.needsReset);
    assert.ok(driver.device.takeInterrupt());
    driver.initialize();
    assert.is(bench.read(0, 512).status, OK);
  }
});

test('a handler that is detached leaves requests alone; one that is attached later serves them', ({
  bench,
}) => {
  const { driver } = bench;
  bench.handler.detach();
  driver.read(0, 512);
  bench.run();
  assert.is(driver.take(), undefined);
  const { attachment } = driver.device;
  const served = new ServedDevice(attachment, driver.guest.memory);
  const handler = new BlockHandler(served, attachment, bench.loop, bench.backend, {
    sectorCount: SECTORS,
    readOnly: false,
    id: 'x',
  });
  pump(bench.loop);
  assert.is(driver.take()?.status, OK);
  handler.detach();
  bench.loop.add(attachment.queueEventFds[0] as number, () => {});
});

test.run();
