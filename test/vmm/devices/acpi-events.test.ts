import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  ACPI_EVENT_PORT,
  AcpiEvent,
  AcpiEvents,
  attachAcpiEvents,
} from '../../../vmm/devices/acpi/events.ts';
import { Bus } from '../../../vmm/devices/bus.ts';

const test = suite('ACPI events');

function machine() {
  const shared = AcpiEvents.allocate();
  const bus = new Bus();
  attachAcpiEvents(bus, new AcpiEvents(shared));
  const levels: number[] = [];
  const line = { set: (level: 0 | 1) => void levels.push(level) };
  const data = new DataView(new ArrayBuffer(4));
  const read = () => {
    bus.read(ACPI_EVENT_PORT, 4, data, 0);
    return data.getUint32(0, true);
  };
  return { events: new AcpiEvents(shared), bus, line, levels, read };
}

test('raise(): an edge, and the events wait in the register until it is read', () => {
  const { events, line, levels, read } = machine();
  assert.is(read(), 0);
  events.raise(AcpiEvent.POWER_BUTTON, line);
  assert.equal(levels, [1, 0]);
  events.raise(AcpiEvent.NEW_GENERATION, line);
  assert.is(events.pending, 3);
  assert.is(read(), 3);
  assert.equal([read(), events.pending], [0, 0]);
});

test('the guest cannot write the register', () => {
  const { bus, read } = machine();
  bus.write(ACPI_EVENT_PORT, 4, new DataView(new Uint8Array([1, 1, 1, 1]).buffer), 0);
  assert.is(read(), 0);
});

test.run();
