import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { memset } from '../../../vmm/ffi/libc.ts';
import { allocateHostBuffer } from '../../../vmm/memory/host-buffer.ts';

test('allocateHostBuffer(): zeroed bytes at an address that C can use', () => {
  const buffer = allocateHostBuffer(10_000);
  assert.is(buffer.bytes.length, 10_000);
  assert.ok(buffer.bytes.every(byte => byte === 0));
  memset(buffer.address, 0x42, 3);
  assert.is(buffer.view.getUint32(0, true), 0x00424242);
  buffer.free();
});

test.run();
