/**
 * Incremental and compressed snapshots of a guest that writes memory at full rate: each of a chain of ten equals a plain
 * copy made in its pause, also after others of the chain were flattened and removed; and what is restored runs on.
 */
import { rmSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Compression } from '../../../snapshot/image/compression-names.ts';
import { flattenSnapshot } from '../../../snapshot/image/flatten.ts';
import { verifySnapshot } from '../../../snapshot/image/verify.ts';
import { HUGE_PAGE_SIZE, KIB } from '../../../vmm/memory/address.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { Guest } from '../../support/guest.ts';
import { Random } from '../../support/random.ts';
import { restored, SnapshotRig, type TakenSnapshot } from '../../support/snapshots.ts';
import { testUnless } from '../../support.ts';
import { caseName, configOf, type OracleCase } from './cases.ts';
import { FrozenCopy, loadedMemory } from './frozen-copy.ts';

const LENGTH = 10;
const seed = Number(process.env.TSVMM_ORACLE_SEED ?? 1);
const test = suite('incremental snapshots');
const rig = new SnapshotRig();
test.after(() => rig.stop());

interface ChainCase extends OracleCase {
  readonly cow: 'mprotect' | 'userfaultfd';
  readonly chunkSize: number;
  /** Of the snapshots, in turns. */
  readonly compressions: readonly Compression[];
}

const huge = { hugePages: true, chunkSize: HUGE_PAGE_SIZE };
const cases: readonly ChainCase[] = [
  { style: 'mixed', pattern: 'random', vcpus: 2, cow: 'mprotect', compressions: ['none'], ...huge },
  {
    style: 'kernel',
    pattern: 'seq',
    vcpus: 1,
    cow: 'userfaultfd',
    compressions: ['none', 'lz4', 'zstd'],
    ...huge,
  },
  {
    style: 'stos',
    pattern: 'random',
    vcpus: 2,
    hugePages: false,
    cow: 'mprotect',
    chunkSize: 64 * KIB,
    compressions: ['zstd', 'lz4', 'none'],
  },
];

interface Link {
  readonly snapshot: TakenSnapshot;
  readonly copy: FrozenCopy;
}

async function takeLink(
  guest: Guest,
  parent: TakenSnapshot | undefined,
  { cow, chunkSize, compressions }: ChainCase,
  turn: number,
): Promise<Link> {
  const copy = new FrozenCopy(guest.machine);
  const compression = compressions[turn % compressions.length] as Compression;
  const options = { cow, chunkSize, compression, parent };
  const snapshot = await rig.take(guest.machine, options, { frozen: () => copy.take() });
  copy.check(snapshot);
  assert.is(snapshot.report.fallbacks, 0);
  return { snapshot, copy };
}

const stats = (guest: Guest) => guest.events.filter(({ event }) => event === 'stat').length;
const assertAlive = async (guest: Guest) => {
  for (let i = 0; i < 3; i++) await guest.until('stat', stats(guest));
  assert.is(
    guest.events.find(({ event }) => event === 'fatal'),
    undefined,
  );
};

async function chain(chainCase: ChainCase, random: Random): Promise<void> {
  const config = configOf(chainCase);
  const guest = await Guest.boot(config);
  const links: Link[] = [];
  try {
    for (let turn = 0; turn <= LENGTH; turn++) {
      await setTimeout(random.below(60));
      links.push(await takeLink(guest, links.at(-1)?.snapshot, chainCase, turn));
    }
    await assertAlive(guest);
  } finally {
    await guest.stop();
  }
  const same = ({ snapshot, copy }: Link) =>
    assert.ok(copy.equals(loadedMemory(snapshot.folder, copy.length)));
  links.forEach(same);
  await flattenSnapshot(links[4]?.snapshot.folder as string);
  for (const { snapshot } of links.splice(0, 4)) rmSync(snapshot.folder, { recursive: true });
  links.forEach(same);

  const last = links.at(-1)?.snapshot.folder as string;
  const findings = await verifySnapshot(last);
  assert.equal(
    findings.filter(({ error }) => error !== undefined),
    [],
  );
  const again = await Guest.create({ ...config, restored: restored(last) });
  try {
    again.machine.start();
    await assertAlive(again);
  } finally {
    await again.stop();
  }
  for (const { snapshot, copy } of links) {
    copy.free();
    rig.discard(snapshot);
  }
}

for (const [index, chainCase] of cases.entries()) {
  const { cow, chunkSize, compressions } = chainCase;
  const name = `${caseName(chainCase)}, ${cow}, chunks of ${chunkSize / KIB} KiB, ${compressions.join(' and ')}`;
  testUnless(lacksKvm(), test, `a chain of ${LENGTH} holds memory as it was in each pause: ${name}`, () =>
    chain(chainCase, new Random(seed * 1000 + index)),
  );
}

test.run();
