import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Status } from '../../../../../vmm/devices/virtio/constants.ts';
import { RngHandler } from '../../../../../vmm/devices/virtio/rng/handler.ts';
import { rngModel } from '../../../../../vmm/devices/virtio/rng/model.ts';
import { ServedDevice } from '../../../../../vmm/devices/virtio/served-device.ts';
import { EventLoop } from '../../../../../vmm/io/event-loop.ts';
import { type Gpa, gpa, HUGE_PAGE_SIZE } from '../../../../../vmm/memory/address.ts';
import { CanariedGuest } from '../../../../support/canaried-guest.ts';
import { Random } from '../../../../support/random.ts';
import { type DriverQueue, FakeDevice, pump } from '../../../../support/virtio-driver.ts';

const RAM = 2 * HUGE_PAGE_SIZE;
const FUZZ_MS = 1000 * Number(process.env.TSVMM_FUZZ_SECONDS ?? 6);

/** An entropy device, its driver and its handler, in one thread. */
class Bench {
  readonly guest = new CanariedGuest(RAM);
  readonly device = new FakeDevice(this.guest, rngModel);
  private readonly loop = new EventLoop();

  constructor() {
    const served = new ServedDevice(this.device.attachment, this.guest.memory);
    new RngHandler(served, this.device.attachment, this.loop);
    this.device.initialize();
  }

  get queue(): DriverQueue {
    return this.device.queues[0] as DriverQueue;
  }

  /** Lets the device do what there is to do. */
  run(): void {
    for (let i = 0; i < 10; i++) pump(this.loop);
  }

  ask(at: Gpa, length: number): number {
    const head = this.queue.add([], [{ at, length }]);
    this.queue.kick();
    return head;
  }

  close(): void {
    this.loop.close();
    this.device.close();
    this.guest.free();
  }
}

const test = suite<{ bench: Bench }>('RngHandler');
test.before.each(context => {
  context.bench = new Bench();
});
test.after.each(({ bench }) => bench.close());

test('fills the buffer with bytes that differ each time, and interrupts', ({ bench }) => {
  const at = bench.guest.allocate(64);
  const answers = [0, 1].map(() => {
    bench.queue.wantInterruptAfter();
    const head = bench.ask(at, 64);
    bench.run();
    assert.equal(bench.queue.takeUsed(), { head, written: 64 });
    assert.ok(bench.device.takeInterrupt());
    return Buffer.from(bench.guest.bytes(at, 64)).toString('hex');
  });
  assert.is.not(answers[0], answers[1]);
  assert.ok(new Set(answers[0]).size > 8, 'not all the same');
});

test('an error of ours goes through, and leaves the device to others', ({ bench }) => {
  const { memory } = bench.guest;
  const { copyIn } = memory;
  memory.copyIn = () => {
    throw new Error('no memory');
  };
  try {
    bench.ask(bench.guest.allocate(64), 64);
    assert.throws(() => bench.run(), /no memory/);
  } finally {
    memory.copyIn = copyIn;
  }
  assert.ok(bench.device.state.lock.tryAcquire());
  bench.device.state.lock.release();
});

test('fills several buffers of a chain, skips readable ones, touches nothing else', ({ bench }) => {
  const at = bench.guest.allocate(4096, 4096);
  const head = bench.queue.add(
    [{ at, length: 100 }],
    [
      { at: gpa(at + 200), length: 50 },
      { at: gpa(at + 300), length: 7 },
    ],
    { indirect: true },
  );
  bench.queue.kick();
  bench.run();
  assert.equal(bench.queue.takeUsed(), { head, written: 57 });
  const page = bench.guest.bytes(at, 4096);
  const touched = [...page.keys()].filter(i => page[i] !== 0);
  assert.ok(touched.every(i => (i >= 200 && i < 250) || (i >= 300 && i < 307)));
  assert.ok(touched.length > 40);
});

test('a buffer of megabytes is filled in part, as the driver may ask again', ({ bench }) => {
  const at = bench.guest.allocate(2 ** 20);
  bench.ask(at, 2 ** 20);
  bench.run();
  assert.is(bench.queue.takeUsed()?.written, 64 * 1024);
});

test('many requests at once are all served, in order', ({ bench }) => {
  const at = bench.guest.allocate(64 * 16);
  const heads = Array.from({ length: 64 }, (_, i) =>
    bench.queue.add([], [{ at: gpa(at + 16 * i), length: 16 }]),
  );
  bench.queue.kick();
  bench.run();
  for (const head of heads) assert.is(bench.queue.takeUsed()?.head, head);
});

test('a device that is not live is not served; a reset takes effect at once', ({ bench }) => {
  const at = bench.guest.allocate(16);
  bench.device.setStatus(0);
  bench.ask(at, 16);
  bench.run();
  assert.is(bench.queue.takeUsed(), undefined);
  bench.device.initialize();
  bench.ask(at, 16);
  bench.run();
  assert.is(bench.queue.takeUsed()?.written, 16);
});

test('a driver that breaks the rules gets NEEDS_RESET and a configuration interrupt, and is served after a reset', ({
  bench,
}) => {
  bench.queue.makeAvailable(9999);
  bench.queue.kick();
  bench.run();
  assert.ok(bench.device.needsReset);
  assert.ok(bench.device.takeInterrupt());
  bench.ask(gpa(0x1000), 16);
  bench.run();
  assert.is(bench.queue.takeUsed(), undefined, 'not served before the reset');
  bench.device.initialize();
  bench.ask(gpa(0x1000), 16);
  bench.run();
  assert.is(bench.queue.takeUsed()?.written, 16);
});

/** Descriptors as an evil or broken driver might write them: mostly plausible, never quite. */
function scribble(bench: Bench, random: Random): void {
  const { queue, guest } = bench;
  const addresses = [0, 0x1000, RAM - 8, RAM - 1, RAM, 0xd0000000, 2 ** 32, 2 ** 63, 2 ** 64 - 4096];
  const lengths = [0, 1, 16, 4096, RAM, 0xffffffff];
  const table = guest.allocate(16 * 64);
  for (const base of [queue.descriptors, table]) {
    for (let i = 0; i < 64; i++) {
      queue.writeDescriptor(base, i, {
        at: random.chance(30) ? table : gpa(random.chance(50) ? random.below(RAM) : random.pick(addresses)),
        length: random.chance(60) ? random.below(300) : random.pick(lengths),
        flags: random.chance(70) ? random.pick([2, 2, 3, 1, 4, 6]) : random.below(65536),
        next: random.chance(90) ? random.below(64) : random.below(65536),
      });
    }
  }
}

test('any descriptors whatever: nothing outside of RAM is touched, and a reset mends it', ({ bench }) => {
  let broken = 0;
  const end_ms = performance.now() + FUZZ_MS;
  for (let seed = 1; seed <= 300 || performance.now() < end_ms; seed++) {
    const random = new Random(seed);
    bench.guest.rewind();
    bench.device.initialize();
    scribble(bench, random);
    for (let i = 0; i < 8; i++) {
      if (random.chance(80)) bench.queue.makeAvailable(random.below(random.chance(95) ? 64 : 65536));
      else bench.queue.setAvailableIndex(random.below(65536));
      bench.queue.kick();
      bench.run();
    }
    if (bench.device.needsReset) broken++;
    else assert.is(bench.device.status & Status.DRIVER_OK, Status.DRIVER_OK);
    assert.ok(bench.guest.isIntact, `seed ${seed}`);
  }
  assert.ok(broken > 100, `${broken} needed a reset`);
  bench.guest.memory.copyIn(gpa(0), new Uint8Array(RAM));
  bench.device.initialize();
  bench.ask(bench.guest.allocate(16), 16);
  bench.run();
  assert.is(bench.queue.takeUsed()?.written, 16);
});

test.run();
