import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ConsoleEnd } from '../../../../../vmm/devices/virtio/console/console-end.ts';
import { ConsoleHandler } from '../../../../../vmm/devices/virtio/console/handler.ts';
import { ConsoleQueue, consoleModel } from '../../../../../vmm/devices/virtio/console/model.ts';
import { ServedDevice } from '../../../../../vmm/devices/virtio/served-device.ts';
import { VirtioState } from '../../../../../vmm/devices/virtio/state.ts';
import { EventLoop } from '../../../../../vmm/io/event-loop.ts';
import { gpa, HUGE_PAGE_SIZE } from '../../../../../vmm/memory/address.ts';
import { ByteRing } from '../../../../../vmm/shared/byte-ring.ts';
import { CanariedGuest } from '../../../../support/canaried-guest.ts';
import { Random } from '../../../../support/random.ts';
import { type DriverQueue, FakeDevice, pump } from '../../../../support/virtio-driver.ts';

const RAM = 2 * HUGE_PAGE_SIZE;
const RING_BYTES = 64 * 1024;

/** A console, its driver, its handler and the host's end, in one thread. */
class Bench {
  readonly guest = new CanariedGuest(RAM);
  readonly device = new FakeDevice(this.guest, consoleModel);
  readonly end = new ConsoleEnd((columns, rows) => this.handler.resize(columns, rows));
  readonly handler: ConsoleHandler;
  announced = 0;
  private readonly loop = new EventLoop();

  constructor() {
    const served = new ServedDevice(this.device.attachment, this.guest.memory);
    const ring = new ByteRing(this.end.buffer);
    this.handler = new ConsoleHandler(served, this.device.attachment, this.loop, {
      ring,
      announce: () => this.announced++,
    });
    this.end.connect(this.device.attachment);
    this.device.initialize();
  }

  get receive(): DriverQueue {
    return this.device.queues[ConsoleQueue.RECEIVE] as DriverQueue;
  }
  get transmit(): DriverQueue {
    return this.device.queues[ConsoleQueue.TRANSMIT] as DriverQueue;
  }

  run(): void {
    for (let i = 0; i < 10; i++) pump(this.loop);
  }

  /** The driver writes `text` from `at`. */
  write(at: number, text: string): number {
    this.guest.memory.copyIn(gpa(at), Buffer.from(text));
    const head = this.transmit.add([{ at: gpa(at), length: text.length }], []);
    this.transmit.kick();
    return head;
  }

  close(): void {
    this.loop.close();
    this.device.close();
    this.guest.free();
  }
}

const test = suite<{ bench: Bench }>('ConsoleHandler');
test.before.each(context => {
  context.bench = new Bench();
});
test.after.each(({ bench }) => bench.close());

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

test('what the guest writes comes out in order, announced once', ({ bench }) => {
  bench.transmit.wantInterruptAfter(2);
  const heads = [bench.write(0x10000, 'hello '), bench.write(0x11000, 'world')];
  bench.run();
  assert.is(text(bench.end.takeOutput()), 'hello world');
  assert.is(bench.announced, 1);
  assert.ok(bench.device.takeInterrupt());
  assert.equal([bench.transmit.takeUsed()?.head, bench.transmit.takeUsed()?.head], heads);
});

test('a buffer in pieces is one text; writable pieces are left alone', ({ bench }) => {
  bench.guest.memory.copyIn(gpa(0x10000), Buffer.from('abcdef'));
  bench.transmit.add(
    [
      { at: gpa(0x10000), length: 2 },
      { at: gpa(0x10004), length: 2 },
    ],
    [{ at: gpa(0x12000), length: 100 }],
    { indirect: true },
  );
  bench.transmit.kick();
  bench.run();
  assert.is(text(bench.end.takeOutput()), 'abef');
  assert.equal(bench.guest.bytes(gpa(0x12000), 100), new Uint8Array(100));
});

test('output that nobody fetches stays in the guest, and nothing of it is lost', ({ bench }) => {
  const total = 200_000;
  const sent = Buffer.from(Array.from({ length: total }, (_, i) => i % 251));
  const at = bench.guest.allocate(total);
  bench.guest.memory.copyIn(at, sent);
  const head = bench.transmit.add([{ at, length: total }], []);
  bench.transmit.kick();
  bench.run();
  assert.is(bench.transmit.takeUsed(), undefined, 'not complete while the ring is full');
  const received: Uint8Array[] = [];
  for (let i = 0; i < 10; i++) {
    const bytes = bench.end.takeOutput();
    assert.ok(bytes.length <= RING_BYTES);
    received.push(bytes);
    bench.run();
  }
  assert.ok(Buffer.concat(received).equals(sent));
  assert.is(bench.transmit.takeUsed()?.head, head);
});

test('input fills the buffers that are there, and waits for more', ({ bench }) => {
  assert.is(bench.end.tryReceive(Buffer.from('typed ahead')), 11);
  bench.run();
  bench.receive.wantInterruptAfter();
  bench.receive.add([], [{ at: gpa(0x10000), length: 5 }]);
  bench.receive.kick();
  bench.run();
  assert.is(bench.receive.takeUsed()?.written, 5);
  assert.ok(bench.device.takeInterrupt());
  assert.is(text(bench.guest.bytes(gpa(0x10000), 6)), 'typed\0');
  bench.receive.add([], [{ at: gpa(0x10100), length: 100 }]);
  bench.receive.kick();
  bench.run();
  assert.is(bench.receive.takeUsed()?.written, 6);
  assert.is(text(bench.guest.bytes(gpa(0x10100), 6)), ' ahead');
});

test('input is bounded: what does not fit is not taken', ({ bench }) => {
  assert.is(bench.end.tryReceive(new Uint8Array(10_000)), 4096);
  assert.is(bench.end.tryReceive(new Uint8Array(1)), 0);
});

test('input is not taken while somebody else is in the device', ({ bench }) => {
  bench.device.state.lock.acquire();
  assert.is(bench.end.tryReceive(Buffer.from('x')), 0);
  bench.device.state.lock.release();
  assert.is(bench.end.tryReceive(Buffer.from('x')), 1);
});

test('the window size is told by a configuration change, or read at the start', ({ bench }) => {
  bench.end.resize(132, 43);
  assert.ok(bench.device.takeInterrupt());
  assert.equal([...bench.device.config(4)], [132, 0, 43, 0]);
  bench.device.setStatus(0);
  bench.end.resize(300, 20);
  assert.not.ok(bench.device.takeInterrupt());
  assert.equal([...bench.device.config(4)], [44, 1, 20, 0]);
});

test('a snapshot keeps waiting input and how far output got', ({ bench }) => {
  const at = bench.guest.allocate(RING_BYTES + 10);
  bench.guest.memory.copyIn(at, Buffer.alloc(RING_BYTES + 10, 'o'));
  bench.guest.memory.copyIn(gpa(at + RING_BYTES), Buffer.from('0123456789'));
  bench.transmit.add([{ at, length: RING_BYTES + 10 }], []);
  bench.transmit.kick();
  bench.end.tryReceive(Buffer.from('input'));
  bench.run();
  const { state } = bench.device;
  const words = new Int32Array(state.wordCount);
  state.copyTo(words);

  // The device of another machine, over the same guest memory.
  const restored = new FakeDevice(bench.guest, consoleModel);
  new VirtioState(restored.attachment.state, consoleModel).loadFrom(words);
  const end = new ConsoleEnd(() => {});
  const loop = new EventLoop();
  const served = new ServedDevice(restored.attachment, bench.guest.memory);
  new ConsoleHandler(served, restored.attachment, loop, {
    ring: new ByteRing(end.buffer),
    announce: () => {},
  });
  end.connect(restored.attachment);
  bench.receive.add([], [{ at: gpa(0x10000), length: 100 }]);
  // A restored machine stirs all its devices.
  restored.writeRegister(0x50, ConsoleQueue.RECEIVE);
  restored.writeRegister(0x50, ConsoleQueue.TRANSMIT);
  pump(loop);
  pump(loop);
  assert.is(text(end.takeOutput()), '0123456789');
  assert.is(text(bench.guest.bytes(gpa(0x10000), 5)), 'input');
  loop.close();
  restored.close();
});

test('a reset forgets a half written buffer, but not what was typed', ({ bench }) => {
  const at = bench.guest.allocate(RING_BYTES + 10);
  bench.transmit.add([{ at, length: RING_BYTES + 10 }], []);
  bench.transmit.kick();
  bench.end.tryReceive(Buffer.from('input'));
  bench.run();
  bench.device.initialize();
  bench.end.takeOutput();
  bench.run();
  bench.write(0x10000, 'anew');
  bench.receive.add([], [{ at: gpa(0x11000), length: 100 }]);
  bench.receive.kick();
  bench.run();
  assert.is(text(bench.end.takeOutput()), 'anew');
  assert.is(bench.receive.takeUsed()?.written, 5);
});

/** Descriptors as an evil or broken driver might write them: mostly plausible, never quite. */
function scribble(queue: DriverQueue, random: Random): void {
  for (let count = random.below(8); count >= 0; count--) {
    queue.writeDescriptor(queue.descriptors, random.below(queue.size), {
      at: gpa(random.chance(90) ? random.below(RAM + 4096) : random.pick([2 ** 32, 2 ** 53, 3 * 2 ** 30])),
      length: random.pick([0, 1, 16, 4096, 70_000, 2 ** 20, 2 ** 32 - 1]),
      flags: random.below(8),
      next: random.chance(90) ? random.below(queue.size) : random.below(65_536),
    });
  }
  queue.makeAvailable(random.chance(95) ? random.below(queue.size) : random.below(65_536));
  if (random.chance(2)) queue.setAvailableIndex(random.below(65_536));
  queue.kick();
}

test('a hostile driver reaches nothing but its own RAM, and is served again after a reset', ({ bench }) => {
  const random = new Random(20);
  const mark = bench.guest.mark;
  let resets = 0;
  for (let round = 0; round < 2000; round++) {
    scribble(random.chance(50) ? bench.receive : bench.transmit, random);
    if (random.chance(30)) bench.end.tryReceive(new Uint8Array(random.below(5000)));
    bench.run();
    assert.ok(bench.end.takeOutput().length <= RING_BYTES);
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
  bench.end.takeOutput();
  bench.write(0x200000, 'still there');
  bench.run();
  assert.is(text(bench.end.takeOutput()), 'still there');
});

test('state of a damaged snapshot makes nothing worse than wrong input', ({ bench }) => {
  const random = new Random(7);
  const { state } = bench.device;
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < 8; i++) state.own[i] = random.below(2 ** 32) | 0;
    bench.receive.add([], [{ at: gpa(0x10000), length: 10_000 }]);
    bench.receive.kick();
    bench.write(0x20000, 'abc');
    bench.run();
    bench.end.takeOutput();
    bench.run();
    while (bench.receive.takeUsed() !== undefined);
    while (bench.transmit.takeUsed() !== undefined);
  }
  assert.not.ok(bench.device.needsReset);
});

test('ConsoleEnd: when the VM is gone nothing is taken for it, and nobody is notified', ({ bench }) => {
  const at = bench.guest.allocate(RING_BYTES);
  bench.write(at, 'x'.repeat(RING_BYTES));
  bench.write(at, 'x');
  bench.run();
  bench.end.disconnect();
  assert.not.ok(bench.end.isLive);
  assert.is(bench.end.tryReceive(Buffer.from('typed')), 0);
  assert.ok(bench.end.takeOutput().length > 0);
  bench.run();
  assert.is(bench.end.takeOutput().length, 0, 'the guest waits for room');
});

test.run();
