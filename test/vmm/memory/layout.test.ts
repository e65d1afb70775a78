import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GIB, MIB } from '../../../vmm/memory/address.ts';
import { HOLE_END, HOLE_START, ramRegions } from '../../../vmm/memory/layout.ts';

test('ramRegions(): RAM of up to 3 GiB is one region from 0', () => {
  assert.equal(ramRegions(64 * MIB), [{ start: 0, length: 64 * MIB, ramOffset: 0 }]);
  assert.equal(ramRegions(HOLE_START), [{ start: 0, length: HOLE_START, ramOffset: 0 }]);
});

test('ramRegions(): what does not fit below the hole continues at 4 GiB', () => {
  assert.equal(ramRegions(HOLE_START + 2 * MIB)[1], {
    start: HOLE_END,
    length: 2 * MIB,
    ramOffset: HOLE_START,
  });
  const regions = ramRegions(9 * GIB);
  assert.is(
    regions.reduce((sum, { length }) => sum + length, 0),
    9 * GIB,
  );
});

test.run();
