import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MemoryType, memoryMap } from '../../../vmm/boot/memory-map.ts';
import { GIB, MIB } from '../../../vmm/memory/address.ts';
import { HOLE_END, HOLE_START } from '../../../vmm/memory/layout.ts';

for (const length of [2 * MIB, 64 * MIB, HOLE_START, HOLE_START + 2 * MIB, 64 * GIB]) {
  test(`memoryMap(): ${length / MIB} MiB: in order, without overlap, nothing in the hole, nothing missing`, () => {
    const map = memoryMap(length);
    let end = 0;
    for (const entry of map) {
      assert.ok(entry.start >= end && entry.length > 0, JSON.stringify(map));
      assert.ok(entry.start + entry.length <= HOLE_START || entry.start >= HOLE_END);
      end = entry.start + entry.length;
    }
    const total = map.reduce((sum, entry) => sum + entry.length, 0);
    assert.is(total, length);
    const reserved = map.filter(({ type }) => type === MemoryType.RESERVED);
    assert.equal(
      reserved.map(entry => [entry.start, entry.start + entry.length]),
      [[0x9fc00, MIB]],
    );
  });
}

test.run();
