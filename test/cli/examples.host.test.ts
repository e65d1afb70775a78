import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClusterStats } from '../../cli/cluster/status.ts';
import { loadCluster } from '../../cli/config/load.ts';
import type { ResolvedCluster } from '../../cli/config/resolved.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { TestHome } from './home.ts';

const test = suite('examples');
const directory = join(import.meta.dirname, '../../examples');
let home: TestHome;
test.before(async () => {
  if (lacksKvm() === undefined) home = await TestHome.create();
});
test.after(async () => home?.remove());

/** Every workload of every guest has done this much, and nothing went wrong. */
const ENOUGH_OPS = 50;

async function untilAllWork(): Promise<ClusterStats> {
  for (;;) {
    const { stdout, stderr } = await home.run('stats', '--once', '--format', 'json');
    assert.is(stderr, '');
    const stats = JSON.parse(stdout) as ClusterStats;
    for (const { state, name } of stats.vms) assert.is(state, 'running', name);
    const reports = stats.vms.map(vm => vm.reports);
    const work = (ops: unknown) => Number(ops) >= ENOUGH_OPS;
    if (reports.every(list => list.length > 0 && list.every(({ ops }) => work(ops)))) return stats;
  }
}

/** Images that take minutes to build, and a host that fits them, are for the tests of Linux guests. */
const otherImage = ({ vms }: ResolvedCluster): string | undefined =>
  vms
    .map(({ guest }) => (guest.kind === 'image' ? guest.image : guest.kernel))
    .filter(image => image !== 'bench')
    .map(image => `its image is ${image}`)[0];

for (const name of readdirSync(directory).filter(file => file.endsWith('.yaml'))) {
  const obstacle = lacksKvm() ?? otherImage(loadCluster(join(directory, name)));
  testUnless(obstacle, test, `${name}: every guest boots and works without an error`, async () => {
    const started = await home.run('run', '-d', '--timeout', '600', join(directory, name));
    assert.is(started.code, 0, started.stderr);
    const { vms } = await untilAllWork();
    for (const { reports } of vms) for (const report of reports) assert.is(report.errors, 0);
    const stopped = await home.run('stop', started.stdout.trim());
    assert.is(stopped.code, 0, stopped.stderr);
    assert.equal(home.runs, []);
  });
}

test.run();
