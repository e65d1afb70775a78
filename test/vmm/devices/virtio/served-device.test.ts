import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Feature, Interrupt, Status } from '../../../../vmm/devices/virtio/constants.ts';
import type { VirtioModel } from '../../../../vmm/devices/virtio/model.ts';
import { ServedDevice } from '../../../../vmm/devices/virtio/served-device.ts';
import { AddressHalf } from '../../../../vmm/devices/virtio/state.ts';
import { TsvmmError } from '../../../../vmm/errors.ts';
import { FakeDevice, FakeGuest } from '../../../support/virtio-driver.ts';

const model: VirtioModel = {
  deviceId: 42,
  features: 0n,
  queueSizes: [8, 8],
  config: Uint8Array.from([1, 2, 3, 4]),
};

/** A device without handler, and the I/O side's view of it. */
class Bench {
  readonly guest = new FakeGuest();
  readonly device = new FakeDevice(this.guest, model);
  readonly served = new ServedDevice(this.device.attachment, this.guest.memory);

  get isLocked(): boolean {
    if (!this.device.state.lock.tryAcquire()) return true;
    this.device.state.lock.release();
    return false;
  }
}

const test = suite<{ bench: Bench }>('ServedDevice');
test.before.each(context => {
  context.bench = new Bench();
});
test.after.each(({ bench }) => {
  bench.device.close();
  bench.guest.free();
});

test('enter(): refuses, with the lock free again, until the driver has set the device up', ({ bench }) => {
  const { served, device } = bench;
  assert.not.ok(served.enter());
  assert.is(served.tryEnter(), 'inactive');
  assert.not.ok(bench.isLocked);
  device.initialize();
  assert.ok(served.enter());
  assert.ok(bench.isLocked);
  served.leave();
  assert.not.ok(bench.isLocked);
});

test('tryEnter(): waits for nobody', ({ bench }) => {
  bench.device.initialize();
  bench.device.state.lock.acquire();
  assert.is(bench.served.tryEnter(), 'busy');
  bench.device.state.lock.release();
  assert.is(bench.served.tryEnter(), 'entered');
  bench.served.leave();
});

test('queue(): those that are ready; a reset and another set-up are noticed', ({ bench }) => {
  const { served, device } = bench;
  device.initialize();
  served.enter();
  const before = served.queue(0);
  assert.ok(before !== undefined && served.queue(1) !== undefined && served.queue(2) === undefined);
  served.leave();
  device.setStatus(0);
  assert.not.ok(served.enter());
  device.initialize();
  served.enter();
  assert.is.not(served.queue(0), before);
  served.leave();
});

test('hasFeature(): what the driver chose', ({ bench }) => {
  bench.device.initialize({ without: Feature.INDIRECT_DESC });
  bench.served.enter();
  assert.ok(bench.served.hasFeature(Feature.EVENT_IDX));
  assert.not.ok(bench.served.hasFeature(Feature.INDIRECT_DESC));
  bench.served.leave();
});

test('leave(): interrupts the driver only for what it waits for', ({ bench }) => {
  const { served, device, guest } = bench;
  device.initialize();
  const [driver] = device.queues;
  const finishOne = () => {
    const head = driver?.add([], [{ at: guest.allocate(16), length: 16 }]) ?? 0;
    served.enter();
    served.queue(0)?.push(head, 0);
    const queue = served.queue(0);
    if (queue !== undefined) served.publish(queue);
    served.leave();
  };
  finishOne();
  assert.ok(device.takeInterrupt(), 'the first one is waited for');
  finishOne();
  assert.not.ok(device.takeInterrupt(), 'event-idx asks for none');
  served.enter();
  served.leave();
  assert.not.ok(device.takeInterrupt());
});

test('guarded(): a broken rule asks for a reset by a configuration interrupt, and ends the service', ({
  bench,
}) => {
  const { served, device } = bench;
  device.initialize();
  served.enter();
  const done = served.guarded(() => {
    throw new TsvmmError('TSVMM_E_GUEST_MEMORY', 'broken');
  });
  served.leave();
  assert.not.ok(done);
  assert.is(device.status & Status.NEEDS_RESET, Status.NEEDS_RESET);
  assert.is(device.readRegister(0x60) & Interrupt.CONFIG_CHANGE, Interrupt.CONFIG_CHANGE);
  assert.ok(device.takeInterrupt());
  assert.not.ok(served.enter());
});

test('guarded(): errors of ours go through and are no fault of the driver', ({ bench }) => {
  bench.device.initialize();
  bench.served.enter();
  assert.throws(
    () =>
      bench.served.guarded(() => {
        throw new TsvmmError('TSVMM_E_DISK', 'the host');
      }),
    /the host/,
  );
  bench.served.leave();
  assert.not.ok(bench.device.needsReset);
});

test('enter(): a queue that lies no longer in RAM asks for a reset instead of throwing', ({ bench }) => {
  bench.device.initialize();
  bench.device.state.queues[0]?.setAddressHalf(AddressHalf.DESCRIPTORS_HIGH, 0x7fffffff);
  assert.not.ok(bench.served.enter());
  assert.ok(bench.device.needsReset);
  assert.not.ok(bench.isLocked);
});

test('changeConfig(): new bytes, a new generation and a configuration interrupt', ({ bench }) => {
  bench.device.initialize();
  bench.served.enter();
  bench.served.changeConfig(2, Uint8Array.from([9]));
  bench.served.leave();
  assert.equal([...bench.device.config(4)], [1, 2, 9, 4]);
  assert.is(bench.device.readRegister(0xfc), 1);
  assert.ok(bench.device.takeInterrupt());
});

test.run();
