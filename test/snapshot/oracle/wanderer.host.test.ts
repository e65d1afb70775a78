/**
 * A guest whose code, stack, page tables, data and interrupt stacks all wander through freshly protected pages, while a timer
 * interrupts it as often as KVM lets it: whatever it has written it finds again (support/wanderer.S).
 *
 *   TSVMM_WANDERER_ROUNDS=200 npx tsx test/snapshot/oracle/wanderer.host.test.ts    a long run
 */
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CowMechanismName } from '../../../snapshot/cow/mechanism.ts';
import { hostKind } from '../../../vmm/kvm/host-kind.ts';
import type { MachineConfig } from '../../../vmm/machine.ts';
import { gpa, HUGE_PAGE_SIZE, KIB, MIB, PAGE_SIZE } from '../../../vmm/memory/address.ts';
import { assembleGuest } from '../../support/assemble.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { lacksCompiler } from '../../support/c-program.ts';
import { Guest } from '../../support/guest.ts';
import { Random } from '../../support/random.ts';
import { restored, SnapshotRig, type TakenSnapshot } from '../../support/snapshots.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { testUnless } from '../../support.ts';
import { FrozenCopy } from './frozen-copy.ts';

const ROUNDS = Number(process.env.TSVMM_WANDERER_ROUNDS ?? 3);
const seed = Number(process.env.TSVMM_ORACLE_SEED ?? 1);
const chunkSizes = [PAGE_SIZE, 64 * KIB, HUGE_PAGE_SIZE];
const test = suite('wandering guest');
const rig = new SnapshotRig();
test.after(() => rig.stop());

interface Wanderer {
  readonly cow: CowMechanismName;
  readonly hugePages: boolean;
  /** With cleared accessed bits, and interrupts that come in onto pages which nobody has written. */
  readonly isBare: boolean;
}

function configOf({ hugePages, isBare }: Wanderer): Partial<MachineConfig> {
  const imagePath = join(temporaryFolder(), 'wanderer.elf');
  const source = join(import.meta.dirname, 'support/wanderer.S');
  assembleGuest(source, imagePath, isBare ? ['BARE'] : []);
  return { imagePath, memory_bytes: 24 * MIB, hugePages };
}

const lines = (guest: Guest) => guest.events.filter(({ event }) => event === 'stat');

/** Until it has been everywhere again, and has been interrupted. Throws what the guest has found wrong. */
async function wanderOn(guest: Guest): Promise<void> {
  const before = lines(guest);
  for (;;) {
    const said = guest.events.find(({ event }) => event === 'fatal');
    assert.is(said, undefined, `after ${lines(guest).length} lines the guest says ${JSON.stringify(said)}`);
    const more = lines(guest).slice(before.length);
    if (more.length > 1 && Number(more.at(-1)?.ticks) > Number(more[0]?.ticks)) return;
    const exit = await Promise.race([guest.exited, setTimeout(5)]);
    assert.is(exit, undefined, `the guest has ended: ${JSON.stringify(exit)}`);
  }
}

/** Answers the fallbacks of all snapshots. */
async function wander(wanderer: Wanderer): Promise<number> {
  const config = configOf(wanderer);
  const random = new Random(seed);
  let fallbacks = 0;
  let last: TakenSnapshot | undefined;
  const guest = await Guest.create(config);
  try {
    const copy = new FrozenCopy(guest.machine);
    guest.machine.start();
    await wanderOn(guest);
    for (let round = 0; round < ROUNDS; round++) {
      await setTimeout(random.below(20));
      if (last !== undefined) rig.discard(last);
      const how = { cow: wanderer.cow, chunkSize: random.pick(chunkSizes) };
      last = await rig.take(guest.machine, how, { frozen: () => copy.take() });
      copy.check(last);
      fallbacks += last.report.fallbacks;
      await wanderOn(guest);
    }
    copy.free();
  } finally {
    await guest.stop();
  }
  const again = await Guest.create({ ...config, restored: restored((last as TakenSnapshot).folder) });
  try {
    again.machine.start();
    await wanderOn(again);
  } finally {
    await again.stop();
  }
  return fallbacks;
}

for (const cow of ['mprotect', 'userfaultfd'] satisfies CowMechanismName[])
  for (const hugePages of [true, false])
    for (const isBare of [false, true]) {
      const obstacle =
        isBare && cow === 'mprotect' && hostKind() === 'software'
          ? 'a KVM in software cannot deliver events to protected stacks'
          : undefined;
      const name = `${cow}, ${hugePages ? 'huge' : 'small'} pages${isBare ? ', cleared accessed bits' : ''}`;
      testUnless(
        lacksKvm() ?? lacksCompiler() ?? obstacle,
        test,
        `loses nothing over ${ROUNDS} snapshots and a restore: ${name}`,
        async () => assert.is(await wander({ cow, hugePages, isBare }), 0, 'fallbacks'),
      );
    }

testUnless(lacksKvm() ?? lacksCompiler(), test, 'the guest notices a page that is set back', async () => {
  const guest = await Guest.create(configOf({ cow: 'mprotect', hugePages: true, isBare: false }));
  try {
    guest.machine.start();
    await wanderOn(guest);
    // The data of its first station.
    guest.machine.memory.writeU32(gpa(0x403000), 1);
    assert.is((await guest.until('fatal')).why, 'd');
  } finally {
    await guest.stop();
  }
});

test.run();
