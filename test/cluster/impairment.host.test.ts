/** Impairments of a cluster file, seen by the guests of one cluster. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TestHome } from '../cli/home.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { counterOf, opsOf, reportOf, TestCluster } from './support/test-cluster.ts';

const test = suite('impairment');
let home: TestHome;
test.before(async () => {
  if (lacksKvm() === undefined) home = await TestHome.create();
});
test.after(async () => home?.remove());

const DELAY_MS = 10;
const client = (network: string, peer: string, ip: string, words = '') =>
  `{ args: [tcp-client, peer=${peer}, port=7, size=6000${words}], nets: [{ network: ${network}, ip: ${ip}/24 }] }`;
const text = `
name: impaired
defaults: { image: bench, memory: 32MiB }
vms:
  server:
    args: [tcp-server, port=7]
    nets: [{ network: slow, ip: 10.0.0.1/24 }, { network: lossy, ip: 10.0.1.1/24, loss: 0 }]
  slow: ${client('slow', '10.0.0.1', '10.0.0.2')}
  lossy: ${client('lossy', '10.0.1.1', '10.0.1.2', ', depth=8')}
networks:
  slow: { delay_ms: ${DELAY_MS} }
  lossy: { loss: 5%, seed: 1 }
`;

testUnless(lacksKvm(), test, 'delay, and loss of one NIC, are what the file says', async () => {
  const cluster = await TestCluster.start(home, home.write('impaired.yaml', text));
  const stats = await cluster.until(
    now =>
      opsOf(now, 'slow', 'tcp-client') > 20 &&
      counterOf(now, 'lossy', 'lossy/net0', 'impaired_frames') > 5 &&
      Number(reportOf(now, 'lossy', 'tcp-client')?.retransmits) > 0,
  );
  for (const vm of ['slow', 'lossy']) assert.is(reportOf(stats, vm, 'tcp-client')?.errors, 0, vm);
  // A request and its answer are late by one delay each.
  const { t_ms, ops } = reportOf(stats, 'slow', 'tcp-client') as { t_ms?: unknown; ops?: unknown };
  assert.ok(Number(ops) <= Number(t_ms) / (2 * DELAY_MS), `${ops} requests in ${t_ms} ms`);
  assert.is(counterOf(stats, 'lossy', 'server/net1', 'impaired_frames'), 0);
  await cluster.stop();
});

test.run();
