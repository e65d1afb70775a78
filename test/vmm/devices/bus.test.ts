import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Bus, type BusDevice } from '../../../vmm/devices/bus.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import { Random } from '../../support/random.ts';

/** Answers its number, and notes what it was asked. */
class SampleDevice implements BusDevice {
  readonly seen: string[] = [];
  private readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
  read(offset: number, size: number, data: DataView, at: number): void {
    this.seen.push(`read ${offset} ${size}`);
    data.setUint8(at, this.value);
  }
  write(offset: number, size: number, data: DataView, at: number): void {
    this.seen.push(`write ${offset} ${size} ${data.getUint8(at)}`);
  }
}

const read = (bus: Bus, address: number, size = 1): number => {
  const data = new DataView(new ArrayBuffer(16));
  bus.read(address, size, data, 4);
  return data.getUint8(4);
};

test('Bus: accesses reach the device with their offset', () => {
  const bus = new Bus();
  const device = new SampleDevice(7);
  bus.attach(0x3f8, 8, device);
  assert.is(read(bus, 0x3fd), 7);
  bus.write(0x3ff, 1, new DataView(new Uint8Array([9]).buffer), 0);
  assert.equal(device.seen, ['read 5 1', 'write 7 1 9']);
});

test('Bus: what nobody claims, or only in part, reads as all ones and swallows writes', () => {
  const bus = new Bus();
  const device = new SampleDevice(7);
  bus.attach(0x100, 8, device);
  const data = new DataView(new ArrayBuffer(8));
  for (const [address, size] of [
    [0xff, 1],
    [0x108, 1],
    [0xfe, 4],
    [0x106, 4],
    [0, 8],
    [2 ** 40, 8],
  ] as const) {
    data.setBigUint64(0, 0n);
    bus.read(address, size, data, 0);
    const expected = Array.from({ length: 8 }, (_, i) => (i < size ? 0xff : 0));
    assert.equal([...new Uint8Array(data.buffer)], expected, `${address} + ${size}`);
    bus.write(address, size, data, 0);
  }
  assert.equal(device.seen, []);
});

test('Bus.attach(): overlapping ranges are refused, adjacent ones are not', () => {
  const bus = new Bus();
  bus.attach(0x10, 0x10, new SampleDevice(1));
  bus.attach(0x20, 0x10, new SampleDevice(2));
  bus.attach(0x00, 0x10, new SampleDevice(3));
  for (const [base, length] of [
    [0x18, 1],
    [0x0f, 2],
    [0x2f, 1],
    [0, 0x40],
  ] as const) {
    assert.throws(
      () => bus.attach(base, length, new SampleDevice(4)),
      (error: unknown) => error instanceof TsvmmError && error.code === 'TSVMM_E_INTERNAL',
    );
  }
  assert.equal(
    [0x05, 0x15, 0x25].map(address => read(bus, address)),
    [3, 1, 2],
  );
});

test('Bus: finds every device whatever the order in which they were attached', () => {
  const random = new Random(1);
  const bus = new Bus();
  const slots = Array.from({ length: 100 }, (_, i) => i);
  for (let i = slots.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [slots[i], slots[j]] = [slots[j] as number, slots[i] as number];
  }
  for (const slot of slots) bus.attach(slot * 0x100, 0x80, new SampleDevice(slot));
  for (const slot of slots) {
    assert.is(read(bus, slot * 0x100 + 0x7f), slot);
    assert.is(read(bus, slot * 0x100 + 0x80), 0xff);
  }
});

test.run();
