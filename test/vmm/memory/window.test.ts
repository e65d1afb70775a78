import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { memset } from '../../../vmm/ffi/libc.ts';
import { alignUp, GIB, hvaOffset, KIB, MIB } from '../../../vmm/memory/address.ts';
import { allocateNative } from '../../../vmm/memory/native.ts';
import { look } from '../../../vmm/memory/window.ts';

test('look(): shows memory as it is now, across the border of two windows too', () => {
  // Mapped, not touched: there is a border inside wherever it lies.
  const native = allocateNative(GIB + 2 * MIB);
  const border = alignUp(native.address + MIB, GIB) - native.address;
  for (const offset of [0, border - MIB]) {
    const address = hvaOffset(native.address, offset);
    const bytes = look(address, 2 * MIB);
    assert.is(bytes.length, 2 * MIB);
    memset(hvaOffset(address, 2 * MIB - KIB), 0x42, KIB);
    assert.is(bytes[2 * MIB - KIB - 1], 0);
    assert.is(bytes[2 * MIB - KIB], 0x42);
    assert.is(look(hvaOffset(address, 2 * MIB - 1), 1)[0], 0x42);
  }
  native.free();
});

test.run();
