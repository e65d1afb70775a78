import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClusterStats } from '../../cli/cluster/status.ts';
import { TestHome } from '../cli/home.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { opsOf, reportOf, TestCluster } from './support/test-cluster.ts';

const test = suite('disk');
let home: TestHome;
test.before(async () => {
  if (lacksKvm() === undefined) home = await TestHome.create();
});
test.after(async () => home?.remove());
const hostTest = (name: string, body: () => Promise<void>) => testUnless(lacksKvm(), test, name, body);

const lacksMount = () => (process.getuid?.() === 0 ? undefined : 'needs root, to mount a small file system');

const file = (workload: string, disk: string) =>
  home.write(
    'disk.yaml',
    `name: disk\nvms: { vm: { memory: 64MiB, args: [${workload}], disks: [${disk}] } }\n`,
  );
const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

interface DiskReport {
  readonly reads: number;
  readonly writes: number;
  readonly flushes: number;
}

/** Runs a disk workload until it has done `enough`. */
async function work(workload: string, disk: string, enough: DiskReport): Promise<void> {
  const cluster = await TestCluster.start(home, file(workload, disk));
  const stats = await cluster.until(current => {
    const now = reportOf(current, 'vm', 'disk') as DiskReport | undefined;
    return (
      now !== undefined &&
      now.reads >= enough.reads &&
      now.writes >= enough.writes &&
      now.flushes >= enough.flushes
    );
  });
  assert.is(reportOf(stats, 'vm', 'disk')?.errors, 0);
  const counters = stats.disks['vm/disk0'] as Record<string, number>;
  assert.is(counters.error_count, 0);
  assert.ok((counters.write_count ?? 0) >= enough.writes);
  assert.ok((counters.read_count ?? 0) >= enough.reads);
  assert.ok((counters.flush_count ?? 0) >= enough.flushes);
  await cluster.stop();
}

hostTest('an empty disk: what a guest writes is what it reads, at random and with barriers', async () => {
  const enough = { reads: 500, writes: 500, flushes: 20 };
  await work('disk, op=mixed, pattern=random, flush=16', '{ size: 16MiB }', enough);
});

hostTest('an empty disk: filled once in large requests, it is read in order again and again', async () => {
  const enough = { reads: 128, writes: 64, flushes: 0 };
  await work('disk, op=read, bs=128K, pattern=seq', '{ size: 8MiB }', enough);
});

hostTest('a disk with a base: the guest writes, and the base stays as it was', async () => {
  const base = home.write('base.img', randomBytes(8 * 2 ** 20));
  const before = digest(base);
  await work('disk, op=mixed, flush=64', '{ base: base.img }', { reads: 200, writes: 200, flushes: 3 });
  assert.is(digest(base), before);
});

/** A file system with so little space that the guests' disks do not fit, where clusters keep their disks. */
async function withoutSpace(body: () => Promise<void>): Promise<void> {
  const directory = join(home.path, 'run');
  mkdirSync(directory, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', directory]);
  try {
    await body();
  } finally {
    execFileSync('umount', ['--lazy', directory]);
  }
}

testUnless(
  lacksKvm() ?? lacksMount(),
  test,
  "the host's disk is full: the guest hears of it, its VM and the others live on",
  () =>
    withoutSpace(async () => {
      const path = home.write(
        'full.yaml',
        `name: full
defaults: { memory: 64MiB }
vms:
  writer: { args: [disk, size=64MiB, bs=64K], disks: [{ size: 64MiB }] }
  other: { args: [cpu] }
`,
      );
      const cluster = await TestCluster.start(home, path);
      const counter = (stats: ClusterStats, vm: string, name: string) =>
        (stats.disks[`${vm}/disk0`] as Record<string, number> | undefined)?.[name] ?? 0;
      // The bench guest gives up when a request fails; the device's counters are as they were then.
      let stats = await cluster.stats;
      while (stats.vms.find(({ name }) => name === 'writer')?.state === 'running') {
        await sleep(50);
        stats = await cluster.stats;
      }
      assert.ok(counter(stats, 'writer', 'error_count') > 0);
      assert.ok(counter(stats, 'writer', 'write_count') > 0);
      const log = readFileSync(join(home.path, 'run/full/writer.log'), 'utf8');
      assert.match(log, /"fatal","why":"disk: a request of type 1 for block \d+ failed with status 1"/);
      const before = opsOf(stats, 'other', 'cpu');
      while (opsOf(stats, 'other', 'cpu') <= before) {
        assert.is(stats.vms.find(({ name }) => name === 'other')?.state, 'running');
        await sleep(50);
        stats = await cluster.stats;
      }
      await cluster.stop();
    }),
);

hostTest(
  'a snapshot remembers where its read-only disks lie, and whether they have changed since',
  async () => {
    const base = home.write('data.img', randomBytes(4 * 2 ** 20));
    const path = file('disk, op=mixed, flush=16', '{ size: 16MiB }, { base: ./data.img, readonly: true }');
    const enough = (stats: ClusterStats) => opsOf(stats, 'vm', 'disk') > 100;
    const original = await TestCluster.start(home, relative(process.cwd(), path));
    await original.until(enough);
    await original.snapshot({ name: 'a' });
    await original.stop();

    const directory = process.cwd();
    process.chdir('/');
    try {
      const restored = await TestCluster.restore(home, 'disk/a', 'again');
      await restored.until(enough);
      await restored.snapshot({ name: 'b' });
      await restored.stop();
      const verified = await home.run('snap', 'verify', 'again/b');
      assert.is(verified.code, 0, verified.stderr);

      writeFileSync(base, randomBytes(4 * 2 ** 20));
      for (const name of ['disk/a', 'again/b']) {
        const refused = await home.run('restore', '-d', name);
        assert.match(refused.stderr, /data\.img was changed after .*TSVMM_E_DISK_CORRUPT/);
        assert.equal(home.runs, []);
        const damaged = await home.run('snap', 'verify', name);
        assert.match(damaged.stdout + damaged.stderr, /data\.img was changed/);
      }
    } finally {
      process.chdir(directory);
    }
  },
);

test.run();
