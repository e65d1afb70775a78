/**
 * Snapshots of a cluster that fail, whoever is to blame: the whole snapshot does, nothing of it is left, and the VMs run
 * on as if nobody had asked.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClusterStats } from '../../cli/cluster/status.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { TestHome } from '../cli/home.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { opsOf, reportOf, TestCluster } from './support/test-cluster.ts';

const test = suite('snapshots that fail');
let home: TestHome;
test.before.each(async () => {
  if (lacksKvm() === undefined) home = await TestHome.create();
});
test.after.each(async () => home?.remove());
const hostTest = (name: string, body: () => Promise<void>) => testUnless(lacksKvm(), test, name, body);

/** A client that talks to two servers, one of which has so much memory in use that saving it takes a while. */
const file = (heavyWords = '', heavySize = '192M') =>
  home.write(
    'failures.yaml',
    `
name: failures
defaults: { image: bench, memory: 64MiB }
vms:
  server: { args: [tcp-server, port=7], nets: [{ network: lan, ip: 10.0.0.1/24 }] }
  client: { args: [tcp-client, "peer=10.0.0.1,10.0.0.3", port=7], nets: [{ network: lan, ip: 10.0.0.2/24 }] }
  heavy:
    memory: 256MiB
    args: [tcp-server, port=7, +, dirty, size=${heavySize}, rate=50000${heavyWords}]
    nets: [{ network: lan, ip: 10.0.0.3/24 }]
networks: { lan: {} }
`,
  );

/** Starts it, and waits until all of heavy's memory was written once. */
async function start(path: string): Promise<TestCluster> {
  const cluster = await TestCluster.start(home, path);
  await cluster.until(
    stats => opsOf(stats, 'heavy', 'dirty') > 50_000 && opsOf(stats, 'client', 'tcp-client') > 100,
  );
  return cluster;
}

const folder = () => join(home.path, 'snapshots/failures');
const left = () => (existsSync(folder()) ? readdirSync(folder()).sort() : []);

/** Resolves when heavy's memory is being written to a snapshot's file. */
async function untilSaving(): Promise<void> {
  for (;;) {
    const images = left()
      .filter(name => name.endsWith('.partial'))
      .map(name => statSync(join(folder(), name, 'vms/heavy/memory.img'), { throwIfNoEntry: false }));
    if (images.some(image => image !== undefined && image.blocks > 0)) return;
    await sleep(2);
  }
}

/** Client and server talk on without an error, and on the connections that they had. */
async function assertUnharmed(cluster: TestCluster): Promise<void> {
  const ops = (stats: ClusterStats) => opsOf(stats, 'client', 'tcp-client');
  const before = ops(await cluster.stats);
  for (;;) {
    const stats = await cluster.stats;
    if (ops(stats) > before + 100) {
      for (const [vm, workload, connections] of [
        ['client', 'tcp-client', 2],
        ['server', 'tcp-server', 1],
      ] as const) {
        assert.is(reportOf(stats, vm, workload)?.errors, 0);
        assert.is(reportOf(stats, vm, workload)?.conns, connections);
      }
      return;
    }
    await sleep(50);
  }
}

const codeOf = (error: unknown) => (error instanceof TsvmmError ? error.code : String(error));

hostTest('snap that is interrupted ends with 130; the next works', async () => {
  const cluster = await start(file());
  const command = home.start('snap', 'failures', '--name', 'given-up');
  await untilSaving();
  command.child.kill('SIGINT');
  assert.is((await command.ended).code, 130);
  while (left().length > 0) await sleep(10);
  await assertUnharmed(cluster);
  assert.is((await cluster.snapshot()).snapshot, 'failures/s1');
  assert.equal(left(), ['s1']);
  await cluster.stop();
});

hostTest('snap --no-wait returns at the cut; the snapshot is completed behind it', async () => {
  const cluster = await start(file());
  const { code, stderr } = await home.run('snap', 'failures', '--name', 'behind', '--no-wait');
  assert.is(code, 0, stderr);
  while (!left().includes('behind')) await sleep(10);
  assert.is((await home.run('snap', 'verify', 'failures/behind')).code, 0);
  await assertUnharmed(cluster);
  await cluster.stop();
});

hostTest('stop in the middle of a snapshot ends both; nothing is left', async () => {
  const cluster = await start(file());
  const snapshot = cluster.snapshot().then(
    () => 'taken',
    (error: unknown) => codeOf(error),
  );
  await untilSaving();
  await cluster.stop();
  assert.is.not(await snapshot, 'taken');
  assert.equal(left(), []);
});

hostTest('several at once are taken one after the other; of one name only one', async () => {
  const cluster = await start(file('', '32M'));
  const unnamed = [1, 2, 3].map(() => cluster.snapshot());
  const twins = await Promise.all(
    [1, 2].map(() => cluster.snapshot({ name: 'twin' }).then(() => 'taken', codeOf)),
  );
  assert.equal(twins.sort(), ['TSVMM_E_CONFLICT', 'taken']);
  const names = (await Promise.all(unnamed)).map(({ snapshot }) => snapshot);
  assert.equal(names.sort(), ['failures/s1', 'failures/s2', 'failures/s3']);
  const epochs = (await Promise.all(unnamed)).map(({ epoch }) => epoch);
  assert.is(new Set(epochs).size, 3);
  assert.equal(left(), ['s1', 's2', 's3', 'twin']);
  assert.is(await cluster.snapshot({ name: 'twin' }).then(() => 'taken', codeOf), 'TSVMM_E_CONFLICT');
  await assertUnharmed(cluster);
  await cluster.stop();
});

hostTest(
  'a snapshot whose time is up ends with nothing left, and the one that waits behind it is taken',
  async () => {
    const cluster = await start(file());
    // From the opening of the folder to the middle of saving; compressed, which takes longest.
    for (const seconds of ['0.003', '0.03', '0.1']) {
      const { code, stderr } = await home.run('snap', 'failures', '--compress', 'zstd', '--timeout', seconds);
      assert.is(code, 6, stderr);
      assert.match(stderr, /TSVMM_E_TIMEOUT/);
    }
    const late = cluster.snapshot({ timeout_s: 0.1, compress: 'zstd' }).then(() => 'taken', codeOf);
    const next = cluster.snapshot({ name: 'next' });
    assert.is(await late, 'TSVMM_E_TIMEOUT');
    assert.is((await next).vms.length, 3);
    assert.equal(left(), ['next']);
    await assertUnharmed(cluster);
    await cluster.stop();
  },
);

/** Ways in which heavy can end; each may come too early, before all have booted, or between two snapshots: then once more. */
const ends: Readonly<Record<string, (attempt: number) => string>> = {
  'whose vCPU fails': attempt => `, +, fault, kind=triple, after=${3000 * attempt}`,
  'that powers off': attempt => `, run=${3 * attempt}`,
};

for (const [how, words] of Object.entries(ends))
  hostTest(`a VM ${how} in the middle ends the snapshot; those of the others go on`, async () => {
    const outcomes: string[] = [];
    for (let attempt = 1; attempt <= 5 && !outcomes.some(outcome => outcome !== 'taken'); attempt++) {
      const cluster = await TestCluster.start(home, file(words(attempt))).catch(() => undefined);
      if (cluster === undefined) continue;
      const isAlive = async () =>
        (await cluster.stats).vms.some(vm => vm.name === 'heavy' && vm.state === 'running');
      while (await isAlive())
        outcomes.push(await cluster.snapshot({ name: `d${outcomes.length}` }).then(() => 'taken', codeOf));
      await assertUnharmed(cluster);
      const { vms } = await cluster.snapshot({ name: `survivors${attempt}` });
      assert.equal(vms.map(({ name }) => name).sort(), ['client', 'server']);
      assert.equal(
        left().filter(name => name.startsWith('.')),
        [],
      );
      await cluster.stop();
      const restored = await TestCluster.restore(home, `failures/survivors${attempt}`, 'survivors');
      assert.is((await restored.stats).vms.length, 2);
      await assertUnharmed(restored);
      await restored.stop();
    }
    console.log(outcomes.join(' '));
    assert.ok(outcomes.some(outcome => outcome !== 'taken'));
    const taken = outcomes.flatMap((outcome, index) => (outcome === 'taken' ? [`d${index}`] : []));
    assert.equal(
      left().filter(name => name.startsWith('d')),
      taken.sort(),
    );
  });

const lacksRoot = process.getuid?.() === 0 ? undefined : 'mounting a file system needs root';

testUnless(
  lacksKvm() ?? lacksRoot,
  test,
  'a disk that is full for one VM ends the snapshot and gives all space back',
  async () => {
    mkdirSync(join(home.path, 'snapshots'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64M', 'tmpfs', join(home.path, 'snapshots')]);
    let cluster: TestCluster | undefined;
    try {
      cluster = await start(file());
      const free = () => statfsSync(join(home.path, 'snapshots')).bfree;
      const before = free();
      const { code, stderr } = await home.run('snap', 'failures');
      assert.is(code, 1);
      assert.match(stderr, /VM "heavy" .*TSVMM_E_DISK/s);
      assert.match(stderr, /hint: .*space/);
      assert.equal(left(), []);
      // The folder of the cluster's snapshots may stay.
      assert.ok(before - free() <= 2);
      await assertUnharmed(cluster);
    } finally {
      await cluster?.stop();
      execFileSync('umount', ['-l', join(home.path, 'snapshots')]);
    }
  },
);

test.run();
