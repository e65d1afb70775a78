/** A guest that prints faster than anybody reads, at the moment when the thread that reads has to pause it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MIB } from '../../../vmm/memory/address.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { buildElf, LOAD_ADDRESS } from '../../support/elf.ts';
import { Guest } from '../../support/guest.ts';
import { SnapshotRig } from '../../support/snapshots.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { testUnless } from '../../support.ts';

const test = suite('a flooding guest');
const rig = new SnapshotRig();
test.after(() => rig.stop());

const FULL_WITHIN_MS = 20_000;

/** Prints 0 to 255, over and over. */
const flood = new Uint8Array([
  ...[0xba, 0xf8, 0x03, 0x00, 0x00], // mov edx, COM1
  ...[0x31, 0xc0], // xor eax, eax
  0xee, // next: out dx, al
  0x40, // inc eax
  ...[0xeb, 0xfc], // jmp next
]);

testUnless(lacksKvm(), test, 'pauses when its console is full, and what was in there has come', async () => {
  const imagePath = join(temporaryFolder(), 'flood.elf');
  writeFileSync(imagePath, buildElf({ segments: [{ address: LOAD_ADDRESS, content: flood }] }));
  const guest = await Guest.create({ imagePath, memory_bytes: 16 * MIB });
  const { machine } = guest;
  const printed: Uint8Array[] = [];
  machine.on('console', bytes => printed.push(bytes));
  let length = 0;
  const blockUntilFull = () => {
    const deadline = performance.now() + FULL_WITHIN_MS;
    while (machine.serial.output.free > 0 && performance.now() < deadline);
    assert.is(machine.serial.output.free, 0, 'the console is full');
    length = printed.reduce((sum, bytes) => sum + bytes.length, machine.serial.output.length);
  };
  try {
    machine.start();
    // A vCPU that waits for room would not stop in time.
    await rig.take(machine, { cow: 'mprotect' }, { prepared: blockUntilFull });
  } finally {
    await guest.stop();
  }
  const bytes = Buffer.concat(printed);
  assert.ok(length > 0 && bytes.length > length, `${bytes.length} of more than ${length}`);
  assert.is(
    bytes.subarray(0, length).findIndex((byte, i) => byte !== (i & 0xff)),
    -1,
    'every byte has come, in order',
  );
});

test.run();
