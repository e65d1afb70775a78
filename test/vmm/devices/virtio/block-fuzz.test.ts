/**
 * A driver that means harm: random descriptors, tables, headers and ring indices. Whatever it does, the device answers
 * or asks for a reset, and the backend only ever sees sectors of the disk and bytes of this guest's RAM.
 * TSVMM_FUZZ_SECONDS sets how long to go on.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BlockResult } from '../../../../vmm/devices/virtio/block/backend.ts';
import { BlockHandler } from '../../../../vmm/devices/virtio/block/handler.ts';
import type { Segments } from '../../../../vmm/devices/virtio/block/segments.ts';
import { ServedDevice } from '../../../../vmm/devices/virtio/served-device.ts';
import { errno } from '../../../../vmm/ffi/errno.ts';
import { EventLoop } from '../../../../vmm/io/event-loop.ts';
import { signalEventFd } from '../../../../vmm/io/eventfd.ts';
import { type Gpa, gpa, gpaOffset, MIB } from '../../../../vmm/memory/address.ts';
import type { Ram } from '../../../../vmm/memory/ram.ts';
import { BlockDriver } from '../../../support/block-driver.ts';
import { MemoryBlockBackend } from '../../../support/memory-block-backend.ts';
import { Random } from '../../../support/random.ts';
import { pump } from '../../../support/virtio-driver.ts';

const CAPACITY = MIB;
const SECTORS = CAPACITY / 512;
const FUZZ_MS = 1000 * Number(process.env.TSVMM_FUZZ_SECONDS ?? 12);

/** Complains about anything outside of the disk or of the guest; waits and fails at random. */
class SuspiciousBackend extends MemoryBlockBackend {
  private readonly ram: Ram;
  private readonly random: Random;
  operations = 0;

  constructor(ram: Ram, random: Random) {
    super(CAPACITY);
    this.ram = ram;
    this.random = random;
  }

  override read(offset: number, data: Segments): BlockResult {
    this.check(offset, data.total, data);
    return super.read(offset, data);
  }

  override write(offset: number, data: Segments): BlockResult {
    this.check(offset, data.total, data);
    return super.write(offset, data);
  }

  override flush(): BlockResult {
    this.operations++;
    return super.flush();
  }

  override discard(offset: number, length: number): BlockResult {
    this.check(offset, length);
    return super.discard(offset, length);
  }

  override writeZeroes(offset: number, length: number): BlockResult {
    this.check(offset, length);
    return super.writeZeroes(offset, length);
  }

  override prefetch(offset: number, length: number): void {
    this.checkRange(offset, length);
  }

  private check(offset: number, length: number, data?: Segments): void {
    this.operations++;
    this.log.length = 0;
    this.checkRange(offset, length);
    if (this.random.chance(5))
      this.blocksOnce = this.random.pick(['read', 'write', 'discard', 'zero', 'flush']);
    if (this.random.chance(5)) this.failsOnce = -errno.EIO;
    if (data === undefined) return;
    assert.ok(data.count <= 256);
    for (let i = 0; i < data.count; i++) {
      const start = data.address(i) - this.ram.address;
      assert.ok(start >= 0 && start + data.length(i) <= this.ram.length, 'a segment outside of RAM');
    }
  }

  private checkRange(offset: number, length: number): void {
    assert.ok(offset % 512 === 0 && length % 512 === 0 && length > 0, `range ${offset}+${length}`);
    assert.ok(offset >= 0 && offset + length <= CAPACITY, `range ${offset}+${length}`);
  }
}

/** Addresses around everything that has an edge. */
function address(random: Random, ram: Ram, area: Gpa): Gpa {
  const near = random.below(5) - 2;
  const edges = [0, ram.length, 2 ** 32, 3 * 2 ** 30, 4 * 2 ** 30, 2 ** 53 - 8, 2 ** 63];
  return random.chance(85)
    ? gpaOffset(area, random.below(60_000))
    : gpa(Math.max(0, random.pick(edges) + near));
}

const length = (random: Random): number =>
  random.pick([0, 1, 15, 16, 16, 17, 512, 512, 513, 1024, 4096, 65_536, 2 ** 20, 2 ** 31, 2 ** 32 - 1]);

/** Fills table entries with descriptors that are mostly nearly right. */
function scramble(random: Random, driver: BlockDriver, table: Gpa, entries: number, area: Gpa): void {
  const { queue, guest } = driver;
  for (let count = 1 + random.below(6); count > 0; count--) {
    queue.writeDescriptor(table, random.below(entries), {
      at: address(random, guest.ram, area),
      length: length(random),
      flags: random.pick([0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7]),
      next: random.chance(90) ? random.below(entries) : random.below(65_536),
    });
  }
}

/** A request of the right form with wrong things in it. */
function writeHeader(random: Random, driver: BlockDriver, at: Gpa): void {
  const { memory } = driver.guest;
  memory.writeU32(at, random.pick([0, 0, 1, 1, 4, 8, 11, 13, 2, 0xffffffff]));
  memory.writeU64(
    gpaOffset(at, 8),
    random.pick([0, 1, SECTORS - 1, SECTORS, 2 ** 32, 2 ** 53, random.below(SECTORS)]),
  );
}

function fuzz(seed: number): number {
  const random = new Random(seed);
  const driver = new BlockDriver({ sectorCount: SECTORS, areaBytes: 65_536, areaCount: 1 });
  const { guest, device } = driver;
  const area = guest.allocate(80_000);
  const backend = new SuspiciousBackend(guest.ram, random);
  const loop = new EventLoop();
  const { mark } = guest;
  device.initialize({ queueSize: 16 });
  const { attachment } = device;
  const handler = new BlockHandler(new ServedDevice(attachment, guest.memory), attachment, loop, backend, {
    sectorCount: SECTORS,
    readOnly: false,
    id: 'fuzz',
  });
  for (let round = 0; round < 300; round++) {
    const { queue } = driver;
    for (let i = random.below(4); i >= 0; i--) {
      const header = gpaOffset(area, 16 * random.below(100));
      writeHeader(random, driver, header);
      if (random.chance(50)) {
        const [first, second, third] = [random.below(16), random.below(16), random.below(16)];
        const writable = random.chance(50);
        queue.writeDescriptor(queue.descriptors, first, { at: header, length: 16, flags: 1, next: second });
        queue.writeDescriptor(queue.descriptors, second, {
          at: address(random, guest.ram, area),
          length: random.pick([512, 1024, 16, 32, length(random)]),
          flags: writable ? 3 : 1,
          next: third,
        });
        queue.writeDescriptor(queue.descriptors, third, {
          at: gpaOffset(area, 70_000),
          length: 1,
          flags: 2,
          next: 0,
        });
        queue.makeAvailable(first);
      } else {
        scramble(random, driver, queue.descriptors, 16, area);
        scramble(random, driver, area, 16, area);
        queue.makeAvailable(random.chance(95) ? random.below(16) : random.below(65_536));
      }
    }
    if (random.chance(2)) queue.setAvailableIndex(random.below(65_536));
    signalEventFd(attachment.queueEventFds[0] as number);
    pump(loop);
    if (!device.needsReset && !random.chance(2)) continue;
    guest.rewind(mark);
    device.initialize({ queueSize: 16 });
  }
  handler.detach();
  loop.close();
  driver.close();
  return backend.operations;
}

const test = suite('virtio-blk fuzz');

test('a hostile driver reaches nothing but its own disk and memory', () => {
  const end_ms = performance.now() + FUZZ_MS;
  let operations = 0;
  for (let seed = 1; seed <= 5 || performance.now() < end_ms; seed++) {
    try {
      operations += fuzz(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  assert.ok(operations > 100, `only ${operations} requests got through to the backend`);
});

test.run();
