/** A guest that prints faster than anybody reads, at the moment when the thread that reads has to pause it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
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

/** A vCPU that does not stop is given up after 5 s; a wait for room takes 0.2 s. */
const PROMPT_US = 200_000;
const FULL_WITHIN_MS = 20_000;

/** Prints 0 to 255, over and over. */
const flood = new Uint8Array([
  ...[0xba, 0xf8, 0x03, 0x00, 0x00], // mov edx, COM1
  ...[0x31, 0xc0], // xor eax, eax
  0xee, // next: out dx, al
  0x40, // inc eax
  ...[0xeb, 0xfc], // jmp next
]);

testUnless(lacksKvm(), test, 'pauses at once when its console is full, and loses no byte', async () => {
  const imagePath = join(temporaryFolder(), 'flood.elf');
  writeFileSync(imagePath, buildElf({ segments: [{ address: LOAD_ADDRESS, content: flood }] }));
  const guest = await Guest.create({ imagePath, memory_bytes: 16 * MIB });
  const { machine } = guest;
  const printed: Uint8Array[] = [];
  machine.on('console', bytes => printed.push(bytes));
  let wasFull = false;
  const blockUntilFull = () => {
    const deadline = performance.now() + FULL_WITHIN_MS;
    while (machine.serial.output.free > 0 && performance.now() < deadline);
    wasFull = machine.serial.output.free === 0;
  };
  try {
    machine.start();
    const { cut } = await rig.take(machine, { cow: 'mprotect' }, { prepared: blockUntilFull });
    assert.ok(wasFull, 'the console was full');
    assert.ok(cut.downtime_us < PROMPT_US, `${cut.downtime_us} us`);
    await setTimeout(50);
  } finally {
    await guest.stop();
  }
  const bytes = Buffer.concat(printed);
  assert.is(machine.stats.consoleDroppedBytes, 0);
  assert.is(
    bytes.findIndex((byte, i) => byte !== (i & 0xff)),
    -1,
    'every byte has come, in order',
  );
});

test.run();
