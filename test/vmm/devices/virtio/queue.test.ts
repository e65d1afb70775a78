import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DescriptorChain } from '../../../../vmm/devices/virtio/chain.ts';
import { DeviceId, Feature } from '../../../../vmm/devices/virtio/constants.ts';
import type { VirtioModel } from '../../../../vmm/devices/virtio/model.ts';
import { VirtQueue } from '../../../../vmm/devices/virtio/queue.ts';
import { AddressHalf, type QueueState } from '../../../../vmm/devices/virtio/state.ts';
import { TsvmmError } from '../../../../vmm/errors.ts';
import { GIB, gpa, HUGE_PAGE_SIZE } from '../../../../vmm/memory/address.ts';
import { allocateRam } from '../../../../vmm/memory/ram.ts';
import {
  type DriverQueue,
  FakeDevice,
  FakeGuest,
  type GuestDescriptor,
} from '../../../support/virtio-driver.ts';

const SIZE = 8;
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const model: VirtioModel = {
  deviceId: DeviceId.ENTROPY,
  features: 0n,
  queueSizes: [SIZE],
  config: new Uint8Array(0),
};

/** Both sides of one queue, and a buffer for it. */
class Bench {
  readonly guest: FakeGuest;
  readonly device: FakeDevice;
  readonly driver: DriverQueue;
  readonly queue: VirtQueue;
  readonly state: QueueState;
  readonly chain = new DescriptorChain(SIZE);

  constructor({ without = 0n, ram = 2 * HUGE_PAGE_SIZE } = {}) {
    this.guest = new FakeGuest(ram, allocateRam(ram, { hugePages: false }));
    this.device = new FakeDevice(this.guest, model);
    this.device.initialize({ without });
    this.driver = this.device.queues[0] as DriverQueue;
    this.state = this.device.state.queues[0] as QueueState;
    this.queue = new VirtQueue(this.guest.memory, this.state, {
      eventIndex: (without & Feature.EVENT_IDX) === 0n,
      indirect: (without & Feature.INDIRECT_DESC) === 0n,
    });
  }

  /** Puts descriptors where they stand in the table, and makes the first available. */
  offer(...descriptors: Partial<GuestDescriptor>[]): void {
    for (const [i, descriptor] of descriptors.entries())
      this.describe(this.driver.descriptors, i, descriptor);
    this.driver.makeAvailable(0);
  }

  describe(table: ReturnType<typeof gpa>, index: number, descriptor: Partial<GuestDescriptor>): void {
    this.driver.writeDescriptor(table, index, {
      at: gpa(0x1000),
      length: 16,
      flags: 0,
      next: 0,
      ...descriptor,
    });
  }

  violates(reason: RegExp): void {
    assert.throws(
      () => this.queue.pop(this.chain),
      (error: unknown) =>
        error instanceof TsvmmError && error.code === 'TSVMM_E_GUEST_MEMORY' && reason.test(error.message),
      String(reason),
    );
  }

  close(): void {
    this.device.close();
    this.guest.free();
  }
}

const test = suite('VirtQueue');
const withBench =
  (body: (bench: Bench) => void, options = {}) =>
  () => {
    const bench = new Bench(options);
    try {
      body(bench);
    } finally {
      bench.close();
    }
  };

for (const indirect of [false, true]) {
  test(
    `pop(): a chain of readable and writable buffers, ${indirect ? 'in an indirect table' : 'in the table'}`,
    withBench(({ driver, queue, chain }) => {
      const buffers = [10, 20, 30].map(length => ({ at: gpa(0x1000 * length), length }));
      const head = driver.add(buffers.slice(0, 1), buffers.slice(1), { indirect });
      assert.ok(queue.hasAvailable);
      assert.ok(queue.pop(chain));
      assert.equal(
        [chain.head, chain.count, chain.readableCount, chain.readableBytes, chain.writableBytes],
        [head, 3, 1, 10, 50],
      );
      assert.equal(
        [0, 1, 2].map(i => ({ at: chain.address(i), length: chain.length(i) })),
        buffers,
      );
      assert.not.ok(queue.pop(chain));
      queue.push(head, 50);
      assert.is(driver.takeUsed(), undefined, 'not before it is published');
      queue.publish();
      assert.equal(driver.takeUsed(), { head, written: 50 });
    }),
  );
}

test(
  'undoPop(): the request comes again',
  withBench(({ driver, queue, chain }) => {
    const heads = [1, 2, 3].map(i => driver.add([], [{ at: gpa(0x1000 * i), length: 1 }]));
    for (let i = 0; i < 3; i++) queue.pop(chain);
    queue.undoPop(2);
    queue.pop(chain);
    assert.is(chain.head, heads[1]);
    queue.pop(chain);
    assert.is(chain.head, heads[2]);
  }),
);

for (const without of [0n, Feature.EVENT_IDX]) {
  test(
    `70 000 requests: indices pass 65 536 without a loss, ${without === 0n ? 'with' : 'without'} event-idx`,
    withBench(
      ({ driver, queue, chain }) => {
        for (let done = 0; done < 70_000; ) {
          const batch = 1 + (done % SIZE);
          const heads = Array.from({ length: batch }, (_, i) =>
            driver.add([], [{ at: gpa(0x1000), length: i + 1 }]),
          );
          for (const [i, head] of heads.entries()) {
            if (!queue.pop(chain) || chain.head !== head || chain.writableBytes !== i + 1)
              assert.unreachable();
            queue.push(head, done + i);
          }
          if (queue.pop(chain)) assert.unreachable();
          queue.publish();
          for (const [i, head] of heads.entries()) {
            const used = driver.takeUsed();
            if (used?.head !== head || used.written !== done + i) assert.unreachable(`request ${done + i}`);
          }
          done += batch;
        }
      },
      { without },
    ),
  );
}

test(
  'publish() with event-idx: wants an interrupt just when the driver asked for, around 65 536 too',
  withBench(({ driver, queue, chain }) => {
    const finishOne = (): boolean => {
      driver.add([], [{ at: gpa(0x1000), length: 1 }]);
      queue.pop(chain);
      queue.push(chain.head, 0);
      const wanted = queue.publish();
      driver.takeUsed();
      return wanted;
    };
    for (let i = 0; i < 66_000; i += 3) {
      driver.wantInterruptAfter(3);
      if (finishOne() || finishOne() || !finishOne()) assert.unreachable(`at ${i}`);
    }
    assert.not.ok(finishOne(), 'not asked for again');
    assert.not.ok(queue.publish(), 'nothing new, nothing to tell');
  }),
);

test(
  'publish() without event-idx: the flag of the available ring decides',
  withBench(
    ({ driver, queue, chain, guest }) => {
      const finishOne = (flag: number): boolean => {
        guest.memory.writeU16(driver.available, flag);
        driver.add([], [{ at: gpa(0x1000), length: 1 }]);
        queue.pop(chain);
        queue.push(chain.head, 0);
        return queue.publish();
      };
      assert.equal([finishOne(0), finishOne(1), finishOne(0)], [true, false, true]);
    },
    { without: Feature.EVENT_IDX },
  ),
);

for (const without of [0n, Feature.EVENT_IDX]) {
  test(
    `notifications: suppressed while asked to, none missed, ${without === 0n ? 'with' : 'without'} event-idx`,
    withBench(
      ({ driver, queue, chain }) => {
        const add = () => driver.add([], [{ at: gpa(0x1000), length: 1 }]);
        assert.not.ok(queue.enableNotifications());
        add();
        assert.ok(driver.kick(), 'the first one is announced');
        queue.disableNotifications();
        queue.pop(chain);
        add();
        assert.not.ok(driver.kick(), 'the device is looking anyway');
        assert.ok(queue.enableNotifications(), 'one came meanwhile');
        queue.pop(chain);
        assert.not.ok(queue.enableNotifications());
        add();
        assert.ok(driver.kick());
      },
      { without },
    ),
  );
}

const beyond = gpa(2 * HUGE_PAGE_SIZE);
const violations: Record<string, [descriptors: Partial<GuestDescriptor>[], reason: RegExp]> = {
  'a loop': [
    [
      { flags: NEXT, next: 1 },
      { flags: NEXT, next: 0 },
    ],
    /does not end/,
  ],
  'a descriptor that follows itself': [[{ flags: NEXT, next: 0 }], /does not end/],
  'a next index beyond the table': [[{ flags: NEXT, next: SIZE }], /descriptor 8 of 8/],
  'a readable buffer after a writable one': [
    [{ flags: NEXT | WRITE, next: 1 }, { flags: 0 }],
    /readable buffer after/,
  ],
  'a buffer that ends beyond RAM': [[{ at: gpa(beyond - 8), length: 16 }], /outside of RAM/],
  'a buffer beyond RAM': [[{ at: beyond, length: 1 }], /outside of RAM/],
  'a buffer in the hole': [[{ at: gpa(0xfee0_0000), length: 4 }], /outside of RAM/],
  'a buffer whose end wraps around': [[{ at: gpa(2 ** 64 - 4096), length: 8192 }], /outside of RAM/],
  'a buffer of 4 GiB - 1': [[{ length: 0xffffffff }], /outside of RAM/],
  'an indirect table of 0 bytes': [[{ flags: INDIRECT, length: 0 }], /table of 0 bytes/],
  'an indirect table of 17 bytes': [[{ flags: INDIRECT, length: 17 }], /table of 17 bytes/],
  'an indirect table beyond RAM': [[{ flags: INDIRECT, at: gpa(beyond - 16), length: 32 }], /outside of RAM/],
  'an indirect table with a next': [[{ flags: INDIRECT | NEXT, next: 1 }], /misplaced indirect/],
};
for (const [name, [descriptors, reason]] of Object.entries(violations)) {
  test(
    `pop(): refuses ${name}`,
    withBench(bench => {
      bench.offer(...descriptors);
      bench.violates(reason);
    }),
  );
}

test(
  'pop(): refuses an indirect table in an indirect table',
  withBench(bench => {
    bench.describe(gpa(0x8000), 0, { flags: INDIRECT, at: gpa(0x9000) });
    bench.offer({ flags: INDIRECT, at: gpa(0x8000) });
    bench.violates(/misplaced indirect/);
  }),
);

test(
  'pop(): refuses a loop in an indirect table, and a table with a chain longer than the queue',
  withBench(bench => {
    for (const entries of [2, 4 * SIZE]) {
      for (let i = 0; i < entries; i++) {
        bench.describe(gpa(0x8000), i, { flags: NEXT, next: (i + 1) % entries });
      }
      bench.offer({ flags: INDIRECT, at: gpa(0x8000), length: entries * 16 });
      bench.violates(/does not end/);
    }
  }),
);

test(
  'pop(): an indirect table may be longer than the queue when its chain is not',
  withBench(bench => {
    bench.describe(gpa(0x8000), 0, { flags: NEXT, next: 4 * SIZE - 1 });
    bench.describe(gpa(0x8000), 4 * SIZE - 1, { flags: WRITE });
    bench.offer({ flags: INDIRECT, at: gpa(0x8000), length: 4 * SIZE * 16 });
    assert.ok(bench.queue.pop(bench.chain));
    assert.is(bench.chain.count, 2);
  }),
);

test(
  'pop(): refuses an indirect table that was not agreed upon',
  withBench(
    bench => {
      bench.offer({ flags: INDIRECT, at: gpa(0x8000) });
      bench.violates(/misplaced indirect/);
    },
    { without: Feature.INDIRECT_DESC },
  ),
);

test(
  'pop(): refuses a head beyond the table, and an index that runs ahead of the ring',
  withBench(bench => {
    bench.driver.makeAvailable(SIZE);
    bench.violates(/descriptor 8 of 8/);
    bench.driver.setAvailableIndex(SIZE + 1);
    bench.violates(/9 buffers made available/);
    bench.driver.setAvailableIndex(0xffff);
    bench.violates(/65535 buffers made available/);
  }),
);

test(
  'pop(): refuses a chain of 4 GiB and more',
  withBench(
    bench => {
      const length = 3 * GIB - 2 ** 20;
      bench.offer({ at: gpa(2 ** 20), length, flags: NEXT, next: 1 }, { at: gpa(2 ** 20), length });
      bench.violates(/beyond 4 GiB/);
    },
    { ram: 3 * GIB },
  ),
);

test(
  'pop(): buffers may overlap each other and be empty',
  withBench(bench => {
    bench.offer({ flags: NEXT, next: 1 }, { flags: NEXT | WRITE, next: 2 }, { flags: WRITE, length: 0 });
    assert.ok(bench.queue.pop(bench.chain));
    assert.equal([bench.chain.count, bench.chain.writableBytes], [3, 16]);
  }),
);

test(
  'new VirtQueue(): refuses a queue that is not where RAM is',
  withBench(({ guest, state }) => {
    state.setAddressHalf(AddressHalf.DESCRIPTORS_HIGH, 0xffffffff);
    assert.throws(
      () => new VirtQueue(guest.memory, state, { eventIndex: true, indirect: true }),
      (error: unknown) => error instanceof TsvmmError && error.code === 'TSVMM_E_GUEST_MEMORY',
    );
  }),
);

test.run();
