import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TestHome } from '../cli/home.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { allReports, reportOf, TestCluster } from './support/test-cluster.ts';

const test = suite('ring');
const example = join(import.meta.dirname, '../../examples/ring.yaml');
let home: TestHome;
test.before(async () => {
  if (lacksKvm() === undefined) home = await TestHome.create();
});
test.after(async () => home?.remove());

const VMS = Array.from({ length: 8 }, (_, i) => `node${i + 1}`);
const ENOUGH_OPS = 500;

testUnless(
  lacksKvm(),
  test,
  'examples/ring.yaml: each of eight guests talks to all others, none fails',
  async () => {
    const cluster = await TestCluster.start(home, example);
    const stats = await cluster.until(now =>
      VMS.every(vm =>
        ['tcp-client', 'tcp-server'].every(workload => {
          const report = reportOf(now, vm, workload);
          return report?.conns === VMS.length - 1 && Number(report.ops) >= ENOUGH_OPS;
        }),
      ),
    );
    for (const report of allReports(stats)) assert.is(report.errors, 0, JSON.stringify(report));
    await cluster.stop();
  },
);

test.run();
