import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mpConfiguration, mpFloatingPointer, mpProcessor, writeMpTable } from '../../../vmm/boot/mp-table.ts';
import { gpa, MIB } from '../../../vmm/memory/address.ts';
import { FakeGuest } from '../../support/virtio-driver.ts';

const test = suite<{ guest: FakeGuest }>('MP table');
test.before.each(context => {
  context.guest = new FakeGuest(2 * MIB);
});
test.after.each(({ guest }) => guest.free());

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0) % 256;
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

for (const count of [1, 2, 64]) {
  test(`${count} processors: pointer and table add up to 0, and the entries fill the table`, ({ guest }) => {
    writeMpTable(guest.memory, count);
    const pointer = mpFloatingPointer.at(guest.bytes(gpa(0), 16).buffer);
    assert.is(text(pointer.signature), '_MP_');
    assert.is(sum(pointer.bytes), 0);
    const head = mpConfiguration.at(guest.bytes(gpa(pointer.physical_address), 44).buffer);
    const table = guest.bytes(gpa(pointer.physical_address), head.base_table_length);
    assert.is(sum(table), 0);
    const types: number[] = [];
    const processors: number[][] = [];
    for (let at: number = mpConfiguration.size; at < table.length; ) {
      const type = table[at] as number;
      types.push(type);
      if (type === 0) {
        const { lapic_id, cpu_flags } = mpProcessor.at(table.buffer, at);
        processors.push([lapic_id, cpu_flags]);
      }
      at += type === 0 ? 20 : 8;
    }
    assert.is(types.length, head.entry_count);
    assert.equal(
      processors,
      Array.from({ length: count }, (_, id) => [id, id === 0 ? 3 : 1]),
    );
    assert.equal([types.filter(type => type === 3).length, types.filter(type => type === 4).length], [24, 2]);
    assert.ok(pointer.physical_address + table.length <= MIB);
  });
}

test.run();
