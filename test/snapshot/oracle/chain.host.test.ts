/** Snapshot, restore into a new VM, run, and so on: what the workloads know of their memory survives every turn. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { MachineConfig } from '../../../vmm/machine.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { Guest } from '../../support/guest.ts';
import { restored, SnapshotRig } from '../../support/snapshots.ts';
import { testUnless } from '../../support.ts';
import { caseName, configOf, type OracleCase, snapshotChoices } from './cases.ts';

const ROUNDS = 20;
const test = suite('chain of snapshots');
const rig = new SnapshotRig();
test.after(() => rig.stop());

const stats = (guest: Guest) => guest.events.filter(({ event }) => event === 'stat');
const operations = (guest: Guest) => Number(stats(guest).at(-1)?.ops ?? 0);

/** Runs until the guest has written every page once more, and so has checked each. */
async function sweep(guest: Guest, pages: number): Promise<void> {
  await guest.until('stat', stats(guest).length);
  const wanted = operations(guest) + 2 * pages;
  while (operations(guest) < wanted) await guest.until('stat', stats(guest).length);
}

async function chain(oracleCase: OracleCase): Promise<void> {
  const config = configOf(oracleCase);
  const pages = (24 * 1024 * 1024) / 4096;
  let guest = await Guest.boot(config);
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const before = operations(guest);
      const snapshot = await rig.take(guest.machine, snapshotChoices[round % snapshotChoices.length]);
      await guest.stop();
      const software: Partial<MachineConfig> = { ...config, restored: restored(snapshot.folder) };
      guest = await Guest.create(software);
      guest.machine.start();
      await sweep(guest, pages);
      const [first] = stats(guest);
      assert.ok(Number(first?.ops) >= before, `it went on behind the cut: ${first?.ops} after ${before}`);
      assert.is(
        guest.events.find(({ event }) => event === 'fatal' || event === 'ready'),
        undefined,
      );
      rig.discard(snapshot);
    }
  } finally {
    await guest.stop();
  }
}

const oracleCase: OracleCase = { style: 'mixed', pattern: 'seq', vcpus: 2, hugePages: true };
testUnless(lacksKvm(), test, `${ROUNDS} rounds lose no page: ${caseName(oracleCase)}`, () =>
  chain(oracleCase),
);

test.run();
