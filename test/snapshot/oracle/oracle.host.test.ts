/**
 * The test that matters: snapshots of a guest that writes memory at full rate, compared byte for byte with a plain copy
 * made in the pause; and what is restored from them runs on with every page as the guest left it.
 *
 *   npx tsx test/snapshot/oracle/oracle.host.test.ts                            some 50 snapshots
 *   TSVMM_ORACLE_ROUNDS=1000 npx tsx test/snapshot/oracle/oracle.host.test.ts   the real run
 *   TSVMM_ORACLE_SEED=7 ...                                                     other choices than usual
 */
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hostKind } from '../../../vmm/kvm/host-kind.ts';
import type { MachineExit } from '../../../vmm/machine.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { Guest } from '../../support/guest.ts';
import { Random } from '../../support/random.ts';
import { SnapshotRig } from '../../support/snapshots.ts';
import { testUnless } from '../../support.ts';
import { allCases, caseName, configOf, type OracleCase, snapshotChoices } from './cases.ts';
import { FrozenCopy } from './frozen-copy.ts';

const rounds = Number(process.env.TSVMM_ORACLE_ROUNDS ?? 50);
const seed = Number(process.env.TSVMM_ORACLE_SEED ?? 1);
const test = suite('snapshot oracle');
const rig = new SnapshotRig();
test.after(() => rig.stop());

const cases = allCases();
const totals = new Map<string, number>();
const add = (name: string, by: number) => totals.set(name, (totals.get(name) ?? 0) + by);

const describe = (exit: MachineExit): string => (exit.kind === 'error' ? `${exit.error}` : exit.kind);

async function takeAndCompare(guest: Guest, random: Random): Promise<void> {
  const { machine } = guest;
  const options = random.pick(snapshotChoices);
  const copy = new FrozenCopy(machine);
  try {
    // Into any phase of the guest's work, and into the aftermath of the snapshot before.
    await setTimeout(random.below(40));
    const snapshot = await rig.take(machine, options, { frozen: () => copy.take() });
    copy.check(snapshot);
    assert.is(snapshot.report.fallbacks, 0, 'fallbacks');
    for (const [name, value] of Object.entries(snapshot.report))
      if (name !== 'stall_us_max') add(name, value);
    rig.discard(snapshot);
  } catch (error) {
    const message = `${JSON.stringify(options)}: ${(error as Error).message}`;
    // Which may be because the guest has ended; the reason is on its way then.
    const exit = await Promise.race([guest.exited, setTimeout(1000)]);
    const end = exit === undefined ? '' : `; the guest has ended: ${describe(exit)}`;
    throw new Error(`${message}${end}`, { cause: error });
  } finally {
    copy.free();
  }
}

async function snapshotsOf(oracleCase: OracleCase, count: number, random: Random): Promise<void> {
  const guest = await Guest.boot(configOf(oracleCase));
  try {
    for (let i = 0; i < count; i++) await takeAndCompare(guest, random);
    // It must still be alive, and have found every page as it wrote it.
    await guest.until('stat', guest.events.filter(({ event }) => event === 'stat').length);
    assert.is(
      guest.events.find(({ event }) => event === 'fatal'),
      undefined,
    );
  } finally {
    await guest.stop();
  }
}

for (const [index, oracleCase] of cases.entries()) {
  const count =
    Math.floor(((index + 1) * rounds) / cases.length) - Math.floor((index * rounds) / cases.length);
  if (count === 0) continue;
  testUnless(
    lacksKvm(),
    test,
    `VmSnapshotter saves memory as it was in the pause: ${caseName(oracleCase)}, ${count} times`,
    () => snapshotsOf(oracleCase, count, new Random(seed * 1000 + index)),
  );
}

/** These guests have no devices (devices.host.test.ts is for theirs): we write what a KVM in software leaves to us. */
const ways = ['pages_eager', 'pages_active', 'cow_faults'];
if (hostKind() === 'software') ways.push('vmm_write_saves');

testUnless(lacksKvm(), test, 'the rounds met all ways to save a chunk', () => {
  console.log([...totals].map(([name, value]) => `${name} ${value}`).join(', '));
  if (rounds < 50) return;
  for (const name of ways) assert.ok((totals.get(name) ?? 0) > 0, name);
});

test.run();
