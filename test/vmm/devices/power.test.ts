import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Bus } from '../../../vmm/devices/bus.ts';
import { attachPower } from '../../../vmm/devices/power.ts';

function actionsAfter(writes: readonly (readonly [port: number, value: number])[]): string[] {
  const actions: string[] = [];
  const bus = new Bus();
  attachPower(bus, action => actions.push(action));
  for (const [port, value] of writes) bus.write(port, 1, new DataView(new Uint8Array([value]).buffer), 0);
  return actions;
}

test('attachPower(): ACPI sleep control with S5 and SLP_EN powers off', () => {
  assert.equal(actionsAfter([[0x600, 0x34]]), ['power-off']);
});

test('attachPower(): other sleep types, or no SLP_EN, do nothing', () => {
  assert.equal(
    actionsAfter([
      [0x600, 0x14],
      [0x600, 0x30],
      [0x600, 0x00],
      [0x601, 0x34],
    ]),
    [],
  );
});

test('attachPower(): the keyboard controller and the reset control register reset', () => {
  assert.equal(actionsAfter([[0x64, 0xfe]]), ['reset']);
  assert.equal(actionsAfter([[0xcf9, 0x06]]), ['reset']);
  assert.equal(
    actionsAfter([
      [0x64, 0xd1],
      [0xcf9, 0x02],
    ]),
    [],
  );
});

function readPort(port: number): number {
  const bus = new Bus();
  attachPower(bus, () => {});
  const data = new DataView(new Uint8Array([0xee]).buffer);
  bus.read(port, 1, data, 0);
  return data.getUint8(0);
}

test('attachPower(): sleep and reset control read as 0', () => {
  for (const port of [0x600, 0x601, 0xcf9]) assert.is(readPort(port), 0);
});

test('attachPower(): the keyboard controller takes commands at once, and never runs out of what nobody typed', () => {
  assert.is(readPort(0x64), 0x01);
});

test.run();
