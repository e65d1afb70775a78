import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Feature, Interrupt, Status } from '../../../../vmm/devices/virtio/constants.ts';
import { VENDOR_ID, VirtioMmio } from '../../../../vmm/devices/virtio/mmio.ts';
import { offeredFeatures, type VirtioModel } from '../../../../vmm/devices/virtio/model.ts';
import { VirtioState } from '../../../../vmm/devices/virtio/state.ts';
import { Random } from '../../../support/random.ts';
import { FakeGuest } from '../../../support/virtio-driver.ts';

const model: VirtioModel = {
  deviceId: 42,
  features: 1n << 5n,
  queueSizes: [256, 8],
  config: Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9]),
  writableConfig: { start: 4, end: 6 },
};
const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED } = Status;
const NEGOTIATING = ACKNOWLEDGE | DRIVER;
const LIVE = NEGOTIATING | FEATURES_OK | DRIVER_OK;

/** The register block of a device of two queues, as a driver that knows the offsets by heart. */
class Block {
  readonly guest = new FakeGuest();
  readonly state = new VirtioState(VirtioState.allocate(model), model);
  readonly effects: string[] = [];
  private readonly data = new DataView(new ArrayBuffer(8));
  private readonly mmio = new VirtioMmio(this.state, model, this.guest.memory, {
    notify: index => this.effects.push(`notify ${index}`),
    activationChanged: () => this.effects.push('activation'),
    interrupt: () => this.effects.push('interrupt'),
  });

  read(offset: number, size = 4): number {
    this.data.setBigUint64(0, 0xffff_ffff_ffff_ffffn);
    this.mmio.read(offset, size, this.data, 0);
    if (size === 8) return Number(this.data.getBigUint64(0, true));
    return size === 4
      ? this.data.getUint32(0, true)
      : size === 2
        ? this.data.getUint16(0, true)
        : this.data.getUint8(0);
  }

  write(offset: number, value: number, size = 4): void {
    this.data.setUint32(0, value, true);
    this.mmio.write(offset, size, this.data, 0);
  }

  get status(): number {
    return this.read(0x70);
  }
  set status(value: number) {
    this.write(0x70, value);
  }

  offerBack(features: bigint): void {
    for (const page of [0, 1]) {
      this.write(0x24, page);
      this.write(0x20, Number((features >> BigInt(32 * page)) & 0xffffffffn));
    }
  }

  /** Up to FEATURES_OK, with everything that is offered. */
  negotiate(): void {
    this.status = ACKNOWLEDGE;
    this.status = NEGOTIATING;
    this.offerBack(offeredFeatures(model));
    this.status = NEGOTIATING | FEATURES_OK;
  }

  /** Queue registers; the addresses are good unless others are given. */
  setUpQueue(index: number, { size = 8, table = 0x1000, available = 0x2000, used = 0x3000 } = {}): void {
    this.write(0x30, index);
    this.write(0x38, size);
    const addresses = { 128: table, 144: available, 160: used };
    for (const [register, address] of Object.entries(addresses)) {
      this.write(Number(register), address % 2 ** 32);
      this.write(Number(register) + 4, Math.floor(address / 2 ** 32));
    }
    this.write(0x44, 1);
  }
}

const test = suite<{ block: Block }>('VirtioMmio');
test.before.each(context => {
  context.block = new Block();
});
test.after.each(({ block }) => block.guest.free());

test('identification: magic, version 2, device and vendor', ({ block }) => {
  assert.equal(
    [0x00, 0x04, 0x08, 0x0c].map(register => block.read(register)),
    [0x74726976, 2, 42, VENDOR_ID],
  );
});

test('registers: only aligned accesses of 32 bits count', ({ block }) => {
  for (const [offset, size] of [
    [0, 1],
    [0, 2],
    [0, 8],
    [2, 4],
    [1, 4],
  ] as const)
    assert.is(block.read(offset, size), 0);
  block.write(0x70, ACKNOWLEDGE, 1);
  block.write(0x70, ACKNOWLEDGE, 2);
  block.write(0x71, ACKNOWLEDGE);
  assert.is(block.status, 0);
  assert.is(block.read(0xb0), 0xffffffff, 'no shared memory regions');
  assert.is(block.read(0xf0), 0, 'a register that does not exist');
});

test('DeviceFeatures: two pages of the offered bits, nothing beyond', ({ block }) => {
  const pages = [0, 1, 2, 0xffffffff].map(page => {
    block.write(0x14, page);
    return block.read(0x10);
  });
  const offered = offeredFeatures(model);
  assert.equal(pages, [Number(offered & 0xffffffffn), Number(offered >> 32n), 0, 0]);
});

test('Status: a device that is set up by the book goes live', ({ block }) => {
  block.negotiate();
  assert.is(block.status, NEGOTIATING | FEATURES_OK);
  block.setUpQueue(0);
  block.setUpQueue(1, { table: 0x4000, available: 0x5000, used: 0x6000 });
  assert.equal(block.effects, []);
  block.status = LIVE;
  assert.is(block.status, LIVE);
  assert.equal(block.effects, ['activation']);
});

test('Status: FEATURES_OK is refused for a bit that was not offered, and without VERSION_1', ({ block }) => {
  for (const features of [
    offeredFeatures(model) | (1n << 7n),
    1n << 5n,
    Feature.VERSION_1 | (1n << 60n),
    0n,
  ]) {
    block.status = 0;
    block.status = NEGOTIATING;
    block.offerBack(features);
    block.status = NEGOTIATING | FEATURES_OK;
    assert.is(block.status, NEGOTIATING, `0x${features.toString(16)}`);
  }
  block.offerBack(Feature.VERSION_1);
  block.status = NEGOTIATING | FEATURES_OK;
  assert.is(block.status, NEGOTIATING | FEATURES_OK, 'a driver may try again with less');
});

test('Status: a driver that goes live without agreed features must reset', ({ block }) => {
  block.status = NEGOTIATING;
  block.offerBack(offeredFeatures(model) | (1n << 7n));
  block.status = LIVE;
  assert.is(block.status & (DRIVER_OK | NEEDS_RESET), NEEDS_RESET);
  assert.equal(block.effects, []);
});

test('DriverFeaturesSel: pages that there are none of take nothing, however large their number', ({
  block,
}) => {
  block.offerBack(Feature.VERSION_1);
  block.write(0x24, 0x8000_0000);
  block.write(0x20, 0xffff_ffff);
  assert.is(block.state.driverFeatures, Feature.VERSION_1);
});

test('Status: bits are added only, so features stay agreed for as long as the device lives', ({ block }) => {
  block.negotiate();
  block.status = LIVE;
  block.status = NEGOTIATING | DRIVER_OK;
  assert.is(block.status, LIVE);
  block.offerBack(offeredFeatures(model) | (1n << 7n));
  assert.is(block.state.driverFeatures, offeredFeatures(model));
  block.status = LIVE | FAILED;
  assert.is(block.status, LIVE | FAILED);
});

test('Status: 0 resets everything but configuration and generation, and tells the I/O side', ({ block }) => {
  block.negotiate();
  block.setUpQueue(0);
  block.status = LIVE;
  const { activation } = block.state;
  block.state.updateConfig(0, Uint8Array.from([99]));
  block.state.setInterrupt(Interrupt.CONFIG_CHANGE);
  block.status = 0;
  assert.is(block.status, 0);
  assert.equal(block.effects, ['activation', 'activation']);
  assert.ok(block.state.activation > activation);
  assert.is(block.state.driverFeatures, 0n);
  assert.is(block.read(0x60), 0);
  block.write(0x30, 0);
  assert.is(block.read(0x44), 0, 'queue 0 is not ready');
  assert.is(block.state.queues[0]?.size, 256);
  assert.equal([block.read(0x100, 1), block.read(0xfc)], [99, 1]);
});

test('QueueSizeMax: of the selected queue; 0 where there is none', ({ block }) => {
  const maxima = [0, 1, 2, 0xffffffff].map(index => {
    block.write(0x30, index);
    return block.read(0x34);
  });
  assert.equal(maxima, [256, 8, 0, 0]);
});

test('queues that do not exist swallow what is written to them', ({ block }) => {
  block.negotiate();
  block.setUpQueue(2);
  block.setUpQueue(0xffffffff);
  block.write(0x50, 2);
  assert.is(block.read(0x44), 0);
  assert.is(block.status & NEEDS_RESET, 0);
  assert.equal(block.effects, []);
});

for (const [name, setting] of Object.entries({
  'size 0': { size: 0 },
  'a size that is no power of two': { size: 6 },
  'a size beyond the maximum': { size: 16 },
  'a table outside of RAM': { table: 2 ** 40 },
  'a table that ends outside of RAM': { table: 4 * 2 ** 20 - 16 },
  'a table in the hole below 4 GiB': { table: 0xd000_0000 },
  'an available ring outside of RAM': { available: 2 ** 63 },
  'a used ring at the end of the address space': { used: 2 ** 64 - 2 ** 12 },
  'a misaligned table': { table: 0x1008 },
  'a misaligned available ring': { available: 0x2001 },
  'a misaligned used ring': { used: 0x3002 },
})) {
  test(`a queue with ${name}: the device needs a reset`, ({ block }) => {
    block.negotiate();
    block.setUpQueue(1, setting);
    assert.is(block.status & NEEDS_RESET, NEEDS_RESET);
    block.status = 0;
    block.negotiate();
    block.setUpQueue(1);
    assert.is(block.read(0x44), 1);
    assert.is(block.status & NEEDS_RESET, 0, 'a reset mends it');
  });
}

test('a live device that needs a reset says so by a configuration interrupt', ({ block }) => {
  block.negotiate();
  block.status = LIVE;
  block.effects.length = 0;
  block.setUpQueue(0, { size: 3 });
  assert.is(block.read(0x60), Interrupt.CONFIG_CHANGE);
  assert.ok(block.effects.includes('interrupt'));
});

test('QueueReady: registers of a ready queue are locked until it is disabled', ({ block }) => {
  block.negotiate();
  block.setUpQueue(0);
  block.write(0x38, 16);
  block.write(0x80, 0x7000);
  assert.equal([block.state.queues[0]?.size, block.state.queues[0]?.descriptors], [8, 0x1000]);
  const { activation } = block.state;
  block.write(0x44, 0);
  assert.is(block.read(0x44), 0);
  assert.ok(block.state.activation > activation, 'the I/O side must notice');
  block.write(0x38, 16);
  assert.is(block.state.queues[0]?.size, 16);
});

test('QueueNotify: reaches the queue when no ioeventfd has caught it', ({ block }) => {
  block.write(0x50, 1);
  assert.equal(block.effects, ['notify 1']);
});

test('InterruptStatus: bits stay until acknowledged, each for itself', ({ block }) => {
  block.state.setInterrupt(Interrupt.USED_BUFFER | Interrupt.CONFIG_CHANGE);
  assert.is(block.read(0x60), 3);
  block.write(0x64, Interrupt.USED_BUFFER);
  assert.is(block.read(0x60), Interrupt.CONFIG_CHANGE);
});

test('configuration space: any width; zero beyond its end; written only where the model allows', ({
  block,
}) => {
  assert.is(block.read(0x100), 0x04030201);
  assert.is(block.read(0x101, 2), 0x0302);
  assert.is(block.read(0x108, 1), 9);
  assert.is(block.read(0x109, 1), 0);
  assert.is(block.read(0x1ff), 0);
  assert.is(block.read(0xffc), 0);
  block.write(0x104, 0xbbaa, 2);
  assert.is(block.read(0x104, 2), 0xbbaa);
  block.write(0x100, 0xff, 1);
  block.write(0x105, 0xffff, 2);
  block.write(0xffc, 0xffffffff);
  assert.equal(
    Array.from({ length: 9 }, (_, i) => block.read(0x100 + i, 1)),
    [1, 2, 3, 4, 0xaa, 0xbb, 7, 8, 9],
  );
});

test('any sequence of register accesses (seed 3) leaves a device that a reset brings back', ({ block }) => {
  const random = new Random(3);
  const values = [0, 1, 2, 3, 8, 15, 0x80, 0x1000, 0x2000, 0xd0000000, 0xffffffff];
  for (let round = 0; round < 50_000; round++) {
    const offset = random.chance(90) ? random.below(0x50) * 4 : random.below(0x1000 - 8);
    const size = random.chance(90) ? 4 : random.pick([1, 2, 8]);
    if (random.chance(50)) block.read(offset, size);
    else block.write(offset, random.chance(80) ? random.pick(values) : random.below(2 ** 31), size);
  }
  assert.ok(block.state.lock.tryAcquire(), 'the lock is free');
  block.state.lock.release();
  block.status = 0;
  block.negotiate();
  block.setUpQueue(0);
  block.status = LIVE;
  assert.is(block.status, LIVE);
});

test.run();
