import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BalloonEnd } from '../../../../../vmm/devices/virtio/balloon/balloon-end.ts';
import { BalloonHandler } from '../../../../../vmm/devices/virtio/balloon/handler.ts';
import { BalloonFeature, balloonModel } from '../../../../../vmm/devices/virtio/balloon/model.ts';
import { ServedDevice } from '../../../../../vmm/devices/virtio/served-device.ts';
import { EventLoop } from '../../../../../vmm/io/event-loop.ts';
import { signalEventFd } from '../../../../../vmm/io/eventfd.ts';
import { type Gpa, gpa, gpaOffset, HUGE_PAGE_SIZE, PAGE_SIZE } from '../../../../../vmm/memory/address.ts';
import { CowState } from '../../../../../vmm/memory/cow-state.ts';
import { CanariedGuest } from '../../../../support/canaried-guest.ts';
import { Random } from '../../../../support/random.ts';
import { type DriverQueue, FakeDevice, pump } from '../../../../support/virtio-driver.ts';

const RAM = 8 * HUGE_PAGE_SIZE;
const PAGES_PER_BLOCK = HUGE_PAGE_SIZE / PAGE_SIZE;
const CONFIG_ACTUAL = 0x104;

/** A balloon, its driver, its handler and the host's end, in one thread. Queues lie in the first huge page. */
class Bench {
  readonly guest = new CanariedGuest(RAM);
  readonly device = new FakeDevice(this.guest, balloonModel);
  readonly cow = new CowState(this.guest.ram.cow);
  readonly end = new BalloonEnd(change =>
    change === 'ask statistics' ? this.handler.askStatistics() : this.handler.setTarget(change.target),
  );
  readonly list: Gpa;
  private readonly handler: BalloonHandler;
  private readonly loop = new EventLoop();

  constructor(without = 0n) {
    const served = new ServedDevice(this.device.attachment, this.guest.memory);
    this.handler = new BalloonHandler(served, this.device.attachment, this.loop);
    this.end.connect(this.device.attachment);
    this.device.initialize({ without });
    this.list = this.guest.allocate(4 * PAGES_PER_BLOCK);
    for (let at = HUGE_PAGE_SIZE; at < RAM; at += PAGE_SIZE) this.guest.memory.writeU32(gpa(at), 1);
  }

  queue(index: number): DriverQueue {
    return this.device.queues[index] as DriverQueue;
  }

  run(): void {
    for (let i = 0; i < 10; i++) pump(this.loop);
  }

  /** The driver puts `count` pages from page `first` into queue `index`, as Linux does: 256 at a time. */
  move(index: number, first: number, count: number): void {
    for (let done = 0; done < count; done += 256) {
      const part = Math.min(256, count - done);
      for (let i = 0; i < part; i++)
        this.guest.memory.writeU32(gpaOffset(this.list, 4 * i), first + done + i);
      const head = this.queue(index).add([{ at: this.list, length: 4 * part }], []);
      this.queue(index).kick();
      this.run();
      assert.equal(this.queue(index).takeUsed(), { head, written: 0 });
    }
  }

  /** Whether a huge page of the guest was given back. */
  isGone = (block: number): boolean => this.guest.memory.readU32(gpa(block * HUGE_PAGE_SIZE)) === 0;

  close(): void {
    this.loop.close();
    this.device.close();
    this.guest.free();
  }
}

const test = suite<{ bench: Bench }>('BalloonHandler');
test.before.each(context => {
  context.bench = new Bench();
});
test.after.each(({ bench }) => bench.close());

const INFLATE = 0;
const DEFLATE = 1;
const STATISTICS = 2;

test('the target is told by a configuration change; what the driver answers can be seen', ({ bench }) => {
  bench.end.setTarget(64 * PAGE_SIZE);
  assert.ok(bench.device.takeInterrupt());
  assert.equal([...bench.device.config(4)], [64, 0, 0, 0]);
  bench.device.writeRegister(CONFIG_ACTUAL, 64);
  const { live, target_bytes, actual_bytes } = bench.end.status;
  assert.equal([live, target_bytes, actual_bytes], [true, 64 * PAGE_SIZE, 64 * PAGE_SIZE]);
  bench.device.setStatus(0);
  assert.is(bench.end.status.actual_bytes, 0, 'a new driver has given nothing');
  assert.is(bench.end.status.target_bytes, 64 * PAGE_SIZE, 'but is still to');
});

test('a huge page goes back when all of it is in the balloon, in whatever order it came', ({ bench }) => {
  bench.move(INFLATE, 3 * PAGES_PER_BLOCK, PAGES_PER_BLOCK - 1);
  assert.not.ok(bench.isGone(3));
  bench.move(INFLATE, 2 * PAGES_PER_BLOCK + 1, PAGES_PER_BLOCK - 1);
  bench.move(INFLATE, 4 * PAGES_PER_BLOCK - 1, 1);
  assert.ok(bench.isGone(3));
  assert.not.ok(bench.isGone(2));
  bench.move(INFLATE, 2 * PAGES_PER_BLOCK, 1);
  assert.ok(bench.isGone(2));
  assert.not.ok(bench.isGone(1) || bench.isGone(4));
});

test('what was deflated counts no more; a page that comes twice counts once', ({ bench }) => {
  bench.move(INFLATE, 3 * PAGES_PER_BLOCK, 300);
  bench.move(INFLATE, 3 * PAGES_PER_BLOCK, 300);
  bench.move(DEFLATE, 3 * PAGES_PER_BLOCK, 1);
  bench.move(INFLATE, 3 * PAGES_PER_BLOCK + 300, PAGES_PER_BLOCK - 300);
  assert.not.ok(bench.isGone(3));
  bench.move(INFLATE, 3 * PAGES_PER_BLOCK, 1);
  assert.ok(bench.isGone(3));
});

test('while memory is held nothing goes back; balloon pages do afterwards, unless they were deflated', ({
  bench,
}) => {
  bench.cow.holdDiscards();
  bench.move(INFLATE, 3 * PAGES_PER_BLOCK, 2 * PAGES_PER_BLOCK);
  bench.move(DEFLATE, 4 * PAGES_PER_BLOCK, 1);
  assert.not.ok(bench.isGone(3));
  bench.cow.allowDiscards();
  signalEventFd(bench.device.attachment.queueEventFds[INFLATE] as number);
  bench.run();
  assert.ok(bench.isGone(3));
  assert.not.ok(bench.isGone(4));
});

test('nothing goes back of a driver that need not tell when it uses pages again', () => {
  const bench = new Bench(BalloonFeature.MUST_TELL_HOST);
  bench.move(INFLATE, 3 * PAGES_PER_BLOCK, PAGES_PER_BLOCK);
  assert.not.ok(bench.isGone(3));
  bench.close();
});

test('after a request of more pages than are looked at, none counts as being in the balloon', ({ bench }) => {
  bench.move(INFLATE, 3 * PAGES_PER_BLOCK, PAGES_PER_BLOCK - 1);
  // The same buffer over and over: what it says does not matter.
  const lists = Array.from({ length: 17 }, () => ({ at: bench.list, length: 4096 }));
  bench.queue(DEFLATE).add(lists, []);
  bench.queue(DEFLATE).kick();
  bench.run();
  assert.ok(bench.queue(DEFLATE).takeUsed());
  bench.move(INFLATE, 4 * PAGES_PER_BLOCK - 1, 1);
  assert.not.ok(bench.isGone(3));
});

for (const [queue, without, kind] of [
  [3, 0n, 'numbered without gaps'],
  [4, 0n, 'numbered by the specification'],
  [2, BalloonFeature.STATS_VQ, 'without statistics'],
] as const)
  test(`reported free memory goes back: ${kind}`, () => {
    const bench = new Bench(without);
    const at = gpa(5 * HUGE_PAGE_SIZE);
    const head = bench.queue(queue).add(
      [],
      [
        { at, length: HUGE_PAGE_SIZE },
        { at: gpa(7 * HUGE_PAGE_SIZE - PAGE_SIZE), length: 2 * PAGE_SIZE },
      ],
    );
    bench.queue(queue).kick();
    bench.run();
    assert.equal(bench.queue(queue).takeUsed(), { head, written: 0 });
    assert.ok(bench.isGone(5));
    assert.not.ok(bench.isGone(7));
    bench.close();
  });

test('reported memory stays while memory is held', ({ bench }) => {
  bench.cow.holdDiscards();
  bench.queue(3).add([], [{ at: gpa(5 * HUGE_PAGE_SIZE), length: HUGE_PAGE_SIZE }]);
  bench.queue(3).kick();
  bench.run();
  assert.ok(bench.queue(3).takeUsed());
  assert.not.ok(bench.isGone(5));
});

test('statistics: the buffer stays with the device until new ones are wanted', ({ bench }) => {
  assert.equal(bench.end.status.statistics, {});
  const { memory } = bench.guest;
  const put = (tags: readonly (readonly [number, number])[]) => {
    for (const [i, [tag, value]] of tags.entries()) {
      memory.writeU16(gpaOffset(bench.list, 10 * i), tag);
      memory.copyIn(
        gpaOffset(bench.list, 10 * i + 2),
        new Uint8Array(new BigUint64Array([BigInt(value)]).buffer),
      );
    }
    const head = bench.queue(STATISTICS).add([{ at: bench.list, length: 10 * tags.length }], []);
    bench.queue(STATISTICS).kick();
    bench.run();
    return head;
  };
  const head = put([
    [4, 5 * 2 ** 32 + 7],
    [5, 2 ** 34],
    [999, 1],
  ]);
  assert.is(bench.queue(STATISTICS).takeUsed(), undefined);
  assert.equal(bench.end.status.statistics, { free_bytes: 5 * 2 ** 32 + 7, total_bytes: 2 ** 34 });
  bench.end.askStatistics();
  assert.equal(bench.queue(STATISTICS).takeUsed(), { head, written: 0 });
  bench.end.askStatistics();
  assert.is(bench.queue(STATISTICS).takeUsed(), undefined, 'there is none to give back');
  put([[4, 4096]]);
  assert.equal(bench.end.status.statistics, { free_bytes: 4096 });
  assert.is(bench.end.statisticsCount, 2);
});

test('page numbers that are not RAM do nothing', ({ bench }) => {
  for (const page of [RAM / PAGE_SIZE, 0xffffffff, 3 * 2 ** 18, 2 ** 20]) {
    bench.move(INFLATE, page, 1);
    bench.move(DEFLATE, page, 1);
  }
  assert.not.ok(bench.device.needsReset);
});

/** Descriptors as an evil or broken driver might write them: mostly plausible, never quite. */
function scribble(queue: DriverQueue, random: Random): void {
  for (let count = random.below(8); count >= 0; count--) {
    queue.writeDescriptor(queue.descriptors, random.below(queue.size), {
      at: gpa(random.chance(90) ? random.below(RAM + 4096) : random.pick([2 ** 32, 2 ** 53, 3 * 2 ** 30])),
      length: random.pick([0, 1, 10, 4096, HUGE_PAGE_SIZE, 2 * HUGE_PAGE_SIZE, 2 ** 32 - 1]),
      flags: random.below(8),
      next: random.chance(90) ? random.below(queue.size) : random.below(65_536),
    });
  }
  queue.makeAvailable(random.chance(95) ? random.below(queue.size) : random.below(65_536));
  if (random.chance(2)) queue.setAvailableIndex(random.below(65_536));
  queue.kick();
}

test('a hostile driver reaches nothing but its own RAM, and is served again after a reset', ({ bench }) => {
  const random = new Random(11);
  const { mark } = bench.guest;
  let resets = 0;
  for (let round = 0; round < 1500; round++) {
    scribble(bench.queue(random.below(5)), random);
    if (random.chance(20)) bench.end.askStatistics();
    if (random.chance(20)) bench.end.setTarget(random.below(2 ** 40));
    bench.run();
    if (!bench.device.needsReset) continue;
    resets++;
    bench.guest.rewind(mark);
    bench.device.initialize();
  }
  assert.ok(resets > 100, `${resets} resets`);
  assert.ok(bench.guest.isIntact);
  bench.guest.rewind(mark);
  bench.device.initialize();
  bench.move(INFLATE, 6 * PAGES_PER_BLOCK, PAGES_PER_BLOCK);
  assert.ok(bench.isGone(6));
});

test.run();
