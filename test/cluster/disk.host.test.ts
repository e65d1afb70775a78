import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TestHome } from '../cli/home.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { reportOf, TestCluster } from './support/test-cluster.ts';

const test = suite('disk');
let home: TestHome;
test.before(async () => {
  if (lacksKvm() === undefined) home = await TestHome.create();
});
test.after(async () => home?.remove());
const hostTest = (name: string, body: () => Promise<void>) => testUnless(lacksKvm(), test, name, body);

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

test.run();
