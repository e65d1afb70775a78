import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { MachineConfig } from '../../../vmm/machine.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { lacksCompiler } from '../../support/c-program.ts';
import { Guest } from '../../support/guest.ts';
import { restored, SnapshotRig } from '../../support/snapshots.ts';
import { testUnless } from '../../support.ts';
import { buildProbe } from '../../vmm/boot/probe/build-probe.ts';
import { Facts } from '../../vmm/boot/probe/facts.ts';

const test = suite('ACPI events of a guest');
const directory = mkdtempSync(join(tmpdir(), 'tsvmm-generation-'));
const rig = new SnapshotRig();
test.after(async () => {
  await rig.stop();
  rmSync(directory, { recursive: true });
});
const lacks = lacksKvm() ?? lacksCompiler();

const POWER_BUTTON = 1;
const NEW_GENERATION = 2;

const config = (): Partial<MachineConfig> & { imagePath: string } => ({
  imagePath: buildProbe(directory).bzImage,
  firmwareTables: true,
  cmdline: 'wait',
});

/** Resolves when the guest's console has a line that begins so. */
async function said(guest: Guest, begin: string): Promise<Facts> {
  while (!new RegExp(`^${begin}.*\\n`, 'm').test(guest.console))
    await Promise.race([
      new Promise(resolve => guest.machine.once('console', resolve)),
      guest.exited.then(({ kind }) => assert.unreachable(`ended by ${kind}: ${guest.console}`)),
    ]);
  return new Facts(guest.console);
}

testUnless(lacks, test, 'pressPowerButton(): the guest hears of it, and only while it runs', async () => {
  const guest = await Guest.create(config());
  assert.not.ok(guest.machine.pressPowerButton());
  guest.machine.start();
  await said(guest, 'waiting=');
  assert.ok(guest.machine.pressPowerButton());
  assert.is((await guest.exited).kind, 'power-off');
  assert.equal(new Facts(guest.console).all('events'), [POWER_BUTTON]);
  assert.not.ok(guest.machine.powerButtonUnseen);
  assert.not.ok(guest.machine.pressPowerButton());
  await guest.stop();
});

testUnless(lacks, test, 'each restored copy gets a generation id of its own, and is told so', async () => {
  const guest = await Guest.create(config());
  guest.machine.start();
  const original = (await said(guest, 'waiting=')).text('waiting');
  const { folder } = await rig.take(guest.machine);
  const ids = new Set([original]);
  for (let copy = 0; copy < 2; copy++) {
    const again = await Guest.create({ ...config(), restored: restored(folder) });
    again.machine.start();
    const facts = await said(again, 'events=');
    assert.is(facts.number('events'), NEW_GENERATION);
    ids.add(facts.text('generation'));
    await again.stop();
  }
  assert.is(ids.size, 3);
  assert.equal(new Facts(guest.console).all('events'), [], 'the original goes on as it was');
  await guest.stop();
});

test.run();
