import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TestHome } from '../cli/home.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { lacksCompiler } from '../support/c-program.ts';
import { testUnless } from '../support.ts';
import { assembleHostileGuest } from './support/hostile-guest.ts';
import { allReports, counterOf, opsOf, reportOf, TestCluster } from './support/test-cluster.ts';

const test = suite('hostile');
const obstacle = lacksKvm() ?? lacksCompiler();
let home: TestHome;
test.before(async () => {
  if (obstacle === undefined) home = await TestHome.create();
});
test.after(async () => home?.remove());

const file = (kernel: string) => `
name: hostile
defaults: { image: bench, memory: 64MiB }
vms:
  server:
    args: [tcp-server, port=7]
    nets: [{ network: lan, ip: 10.0.0.1/24, mac: "52:54:00:00:00:01" }]
  client:
    args: [tcp-client, peer=10.0.0.1, port=7]
    nets: [{ network: lan, ip: 10.0.0.2/24 }]
  villain:
    kernel: ${kernel}
    nets: [{ network: lan, mac: "52:54:00:00:00:66" }]
networks: { lan: {} }
`;

/** Rounds of the villain, each of which the device ends by asking for a reset, or survives. */
const ENOUGH_VIOLATIONS = 50;
const ENOUGH_FRAMES = 50;

testUnless(
  obstacle,
  test,
  'a guest that breaks every rule of its network card disturbs nobody: the others exchange on, none fails',
  async () => {
    const kernel = join(home.path, 'villain.elf');
    assembleHostileGuest(kernel);
    const cluster = await TestCluster.start(home, home.write('hostile.yaml', file(kernel)));
    const villain = (stats: Parameters<typeof opsOf>[0], counter: Parameters<typeof counterOf>[3]) =>
      counterOf(stats, 'lan', 'villain/net0', counter);
    const before = opsOf(
      await cluster.until(stats => allReports(stats).length === 2),
      'client',
      'tcp-client',
    );
    const stats = await cluster.until(
      now =>
        villain(now, 'violations') >= ENOUGH_VIOLATIONS &&
        villain(now, 'sent_frames') >= ENOUGH_FRAMES &&
        opsOf(now, 'client', 'tcp-client') > before + 100,
    );
    // What it sends goes to all; that it claims the server's address is not believed.
    assert.ok(villain(stats, 'flooded_frames') > 0);
    for (const report of allReports(stats)) assert.is(report.errors, 0, String(report.workload));
    assert.is(reportOf(stats, 'client', 'tcp-client')?.conns, 1);
    await cluster.stop();
  },
);

test.run();
