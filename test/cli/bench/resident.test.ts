import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { residentMemory } from '../../../cli/bench/guests/resident.ts';
import { backend } from '../../../vmm/ffi/index.ts';
import { MIB } from '../../../vmm/memory/address.ts';
import { allocateRam } from '../../../vmm/memory/ram.ts';

test("residentMemory(): tells touched guest RAM from the process's other memory", () => {
  const length = 38 * MIB;
  const ram = allocateRam(length, { hugePages: false });
  const before = residentMemory('self', length);
  new Uint8Array(backend.view(ram.address, length)).fill(1, 0, 8 * MIB);
  const after = residentMemory('self', length);
  ram.free();
  assert.is(Math.round(after.guest_mib - before.guest_mib), 8);
  assert.ok(Math.abs(after.overhead_mib - before.overhead_mib) < 8);
  assert.ok(after.private_mib > 5 && after.private_mib <= after.overhead_mib);
});

test.run();
