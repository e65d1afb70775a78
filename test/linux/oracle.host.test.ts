/**
 * Snapshots of Linux guests that work on files, compared byte for byte with a plain copy made in the pause: of Debian with
 * its stock kernel, and of the minimal Linux, which runs on hosts without hardware virtualization too.
 *
 *   TSVMM_LINUX_ROUNDS=200 npx tsx test/linux/oracle.host.test.ts     (10 if left out)
 *
 * As in test/snapshot/oracle, but neither kernel nor programs are ours.
 */
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RunningCluster } from '../../cli/cluster/cluster.ts';
import { HostParts } from '../../cli/cluster/host-parts.ts';
import { parseCluster } from '../../cli/config/load.ts';
import { chooseMechanism } from '../../snapshot/cow/choose.ts';
import type { CowMechanismName } from '../../snapshot/cow/mechanism.ts';
import { hostKind } from '../../vmm/kvm/host-kind.ts';
import type { Machine } from '../../vmm/machine.ts';
import { HUGE_PAGE_SIZE, KIB } from '../../vmm/memory/address.ts';
import { FrozenCopy } from '../snapshot/oracle/frozen-copy.ts';
import { Random } from '../support/random.ts';
import { SnapshotRig } from '../support/snapshots.ts';
import { testUnless } from '../support.ts';
import { lacksDebian, PACKAGES } from './support/debian-image.ts';
import { LinuxHome } from './support/linux-cluster.ts';
import { LinuxConsole } from './support/linux-console.ts';
import { lacksMinimal } from './support/minimal-image.ts';
import { fileTurns, startFileWork } from './support/workloads.ts';

const ROUNDS = Number(process.env.TSVMM_LINUX_ROUNDS ?? 10);
const SEED = Number(process.env.TSVMM_ORACLE_SEED ?? 1);
const VCPUS = Number(process.env.TSVMM_LINUX_VCPUS ?? 1);
/** How far two snapshots are apart at most: emulated guests need longer to write something in between. */
const GAP_MS = Number(process.env.TSVMM_LINUX_GAP_MS ?? 300);
const BOOT_MS = 1000 * Number(process.env.TSVMM_LINUX_PATIENCE ?? 300);

interface Subject {
  readonly name: string;
  /** Keys of the cluster file. */
  readonly keys: string;
  /** What its file work copies. */
  readonly source: string;
  enter(console: LinuxConsole): Promise<void>;
}

const debian: Subject = {
  name: 'debian',
  keys: `image: debian, packages: [${PACKAGES.join(', ')}], memory: 192MiB`,
  source: '/etc',
  enter: console => console.login(),
};
const minimal: Subject = {
  name: 'linux',
  keys: 'image: linux, memory: 128MiB',
  source: '/lib/tsvmm',
  enter: console => console.enter(),
};

const test = suite('snapshot oracle of Linux guests');

/** Those that `--cow auto` takes here for a kernel that is not ours. */
const mechanisms: readonly CowMechanismName[] =
  chooseMechanism(hostKind(), true) === 'userfaultfd' ? ['userfaultfd'] : ['mprotect', 'userfaultfd'];
const choices = mechanisms.flatMap(cow => [HUGE_PAGE_SIZE, 64 * KIB].map(chunkSize => ({ cow, chunkSize })));

async function withMachine(
  { keys, enter }: Subject,
  body: (machine: Machine, console: LinuxConsole) => Promise<void>,
): Promise<void> {
  const { path } = new LinuxHome();
  process.env.TSVMM_HOME = path;
  // The name that SnapshotRig goes by.
  const text = `vms: { vm: { ${keys}, vcpus: ${VCPUS} } }`;
  const parts = HostParts.open(new AbortController().signal);
  const config = parseCluster(join(path, 'oracle.yaml'), text);
  const cluster = await RunningCluster.create(config, parts, { logDirectory: path });
  try {
    const vm = cluster.vm('vm');
    const line = new Duplex({
      read: () => {},
      write: (bytes: Uint8Array, _, done) => {
        vm.type(bytes);
        done();
      },
    });
    vm.console.on('bytes', bytes => line.push(bytes));
    cluster.start();
    await cluster.booted(BOOT_MS);
    const console = new LinuxConsole(line);
    await enter(console);
    await body(parts.machines.get('vm') as Machine, console);
  } finally {
    await cluster.stop();
    await parts.close();
  }
}

async function compareRounds(machine: Machine, console: LinuxConsole): Promise<void> {
  const random = new Random(SEED);
  const rig = new SnapshotRig();
  const totals: Record<string, number> = {};
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const options = random.pick(choices);
      const copy = new FrozenCopy(machine);
      await sleep(random.below(GAP_MS));
      try {
        const snapshot = await rig.take(machine, options, { frozen: () => copy.take() });
        copy.check(snapshot);
        for (const [name, value] of Object.entries(snapshot.report))
          totals[name] = (totals[name] ?? 0) + value;
        rig.discard(snapshot);
      } catch (cause) {
        throw new Error(`round ${round}, ${JSON.stringify(options)}: ${(cause as Error).message}`, { cause });
      } finally {
        copy.free();
      }
      if (round % 10 === 9) globalThis.console.log(`${round + 1} rounds: ${JSON.stringify(totals)}`);
    }
  } finally {
    await rig.stop();
  }
  const turns = await fileTurns(console);
  await console.eventually(`[ $(cat /tmp/turns) -gt ${turns} ]`);
  await fileTurns(console);
  assert.is(totals.fallbacks, 0, 'fallbacks');
  assert.ok((totals.cow_faults ?? 0) > 0, 'the guest wrote while it was saved');
}

for (const { subject, obstacle } of [
  { subject: debian, obstacle: await lacksDebian() },
  { subject: minimal, obstacle: await lacksMinimal() },
]) {
  testUnless(
    obstacle,
    test,
    `${ROUNDS} snapshots of ${subject.name} under file work are what was there in the pause`,
    () =>
      withMachine(subject, async (machine, console) => {
        await startFileWork(console, subject.source);
        await compareRounds(machine, console);
      }),
  );
}

test.run();
