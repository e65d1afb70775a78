/** Clusters that are connected to the host, each in a network namespace of its own. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClusterStats } from '../../cli/cluster/status.ts';
import { TsvmmCommand, tsvmmProgram } from '../cli/command.ts';
import { TestHome } from '../cli/home.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { lacksTaps, NetworkNamespace } from './support/network-namespace.ts';
import type { ExchangeResult } from './support/request-client.ts';
import { counterOf, opsOf, reportOf, TestCluster, untilEnded } from './support/test-cluster.ts';

const test = suite('tap');
const obstacle = lacksKvm() ?? lacksTaps();
let home: TestHome;
let namespace: NetworkNamespace;
test.before(async () => {
  if (obstacle === undefined) home = await TestHome.create();
});
test.before.each(() => {
  if (obstacle === undefined) namespace = new NetworkNamespace();
});
test.after.each(() => namespace?.remove());
test.after(async () => home?.remove());
const hostTest = (name: string, body: () => Promise<void>) => testUnless(obstacle, test, name, body);

const TAP = 'tsvmm0';
const MTU = 4000;
const file = () =>
  home.write(
    'tap.yaml',
    `
name: tap
vms:
  server:
    image: bench
    memory: 64MiB
    args: [tcp-server, port=7]
    nets: [{ network: lan, ip: 10.0.0.1/24 }]
networks: { lan: { mtu: ${MTU}, tap: { name: ${TAP}, address: 10.0.0.254/24, offloads: false } } }
`,
  );

/** What ip(8) says of an interface. */
interface Link {
  readonly mtu: number;
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number }[];
}

async function exchangeFromHost(messages: number, bytes: number): Promise<ExchangeResult> {
  const client = join(import.meta.dirname, 'support/request-client.ts');
  const words = [
    process.execPath,
    '--import',
    'tsx',
    client,
    '10.0.0.1',
    '7',
    String(messages),
    String(bytes),
  ];
  const [program, ...rest] = namespace.words(words) as [string, ...string[]];
  const { stdout } = await promisify(execFile)(program, rest);
  return JSON.parse(stdout) as ExchangeResult;
}

hostTest("a stock client on the host talks TCP to a guest's server, small messages and large", async () => {
  const cluster = await TestCluster.start(home, file(), { namespace });
  assert.equal(namespace.links, [TAP]);
  const [link] = JSON.parse(namespace.within('-json', 'address', 'show', 'dev', TAP)) as [Link];
  assert.is(link.mtu, MTU);
  assert.ok(link.addr_info.some(({ local, prefixlen }) => local === '10.0.0.254' && prefixlen === 24));
  assert.equal(await exchangeFromHost(200, 64), { answered: 200, bytes: 200 * 64 });
  assert.equal(await exchangeFromHost(4, 2 ** 20), { answered: 4, bytes: 4 * 2 ** 20 });
  const stats = await cluster.until(now => Number(reportOf(now, 'server', 'tcp-server')?.ops) === 204);
  assert.is(reportOf(stats, 'server', 'tcp-server')?.errors, 0);
  // Without offloads the segments show both sides' MTU: the guest sends large ones, which are cut up for the tap. Had it
  // been 1500, even the data alone would have taken more frames than this, acknowledgements not counted.
  for (const way of ['sent', 'received'] as const) {
    const bytes = counterOf(stats, 'lan', TAP, `${way}_bytes`);
    const frames = counterOf(stats, 'lan', TAP, `${way}_frames`);
    assert.ok(bytes > 4 * 2 ** 20);
    assert.ok(frames < (4 * 2 ** 20) / 1448, `${bytes} bytes ${way} in ${frames} frames`);
  }
  assert.ok(counterOf(stats, 'lan', TAP, 'segmented_frames') > 0);
  await cluster.stop();
  assert.equal(namespace.links, []);
});

hostTest('SIGKILL leaves no tap behind, and the next run clears away the rest', async () => {
  const killed = await TestCluster.start(home, file(), { namespace });
  process.kill(killed.pid, 'SIGKILL');
  await untilEnded(killed.pid);
  assert.equal(namespace.links, []);
  assert.equal(home.runs, ['tap']);
  const next = await TestCluster.start(home, file(), { namespace });
  assert.equal(namespace.links, [TAP]);
  await next.stop();
  assert.equal(namespace.links, []);
  assert.equal(home.runs, []);
});

hostTest('a tap that somebody deletes: what was for it is counted, and the guests go on', async () => {
  const text = `
name: cut-off
defaults: { image: bench, memory: 32MiB }
vms:
  server: { args: [tcp-server, port=7], nets: [{ network: lan, ip: 10.0.0.1/24 }] }
  client: { args: [tcp-client, peer=10.0.0.1, port=7], nets: [{ network: lan, ip: 10.0.0.2/24 }] }
  seeker: { args: [tcp-client, peer=10.0.0.99, port=7], nets: [{ network: lan, ip: 10.0.0.3/24 }] }
networks: { lan: { tap: ${TAP} } }
`;
  const cluster = await TestCluster.start(home, home.write('cut-off.yaml', text), { namespace });
  namespace.within('link', 'delete', TAP);
  const refused = (stats: ClusterStats) => counterOf(stats, 'lan', TAP, 'refused_frames');
  const before = await cluster.stats;
  // The seeker asks everybody for an address that nobody has.
  const after = await cluster.until(
    now =>
      refused(now) > refused(before) + 1 &&
      opsOf(now, 'client', 'tcp-client') > opsOf(before, 'client', 'tcp-client') + 50,
  );
  assert.is(reportOf(after, 'client', 'tcp-client')?.errors, 0);
  await cluster.stop();
  assert.equal(namespace.links, []);
});

hostTest('a tap that another cluster uses is a conflict, which leaves that one alone', async () => {
  const first = await TestCluster.start(home, file(), { namespace });
  const words = namespace.words([...tsvmmProgram, 'run', '-d', '--name', 'second', file()]);
  const { code, stderr } = await new TsvmmCommand(words, { TSVMM_HOME: home.path }).ended;
  assert.is(code, 5, stderr);
  assert.match(stderr, /^error: .*tsvmm0.* \[TSVMM_E_CONFLICT\]\nhint: /);
  assert.equal(home.runs, ['tap']);
  assert.equal(namespace.links, [TAP]);
  await first.stop();
});

hostTest('a restore beside the original: its tap is a conflict, another one or none is not', async () => {
  const first = await TestCluster.start(home, file(), { namespace });
  await first.snapshot({ name: 's1' });
  const restore = (name: string, ...options: string[]) => {
    const words = [...tsvmmProgram, 'restore', '-d', 'tap/s1', '--name', name, ...options];
    return new TsvmmCommand(namespace.words(words), { TSVMM_HOME: home.path }).ended;
  };
  const same = await restore('same');
  assert.is(same.code, 5, same.stderr);
  assert.match(same.stderr, /^error: .*tsvmm0.* \[TSVMM_E_CONFLICT\]\nhint: .*--tap NETWORK=/);
  const unknown = await restore('unknown', '--tap', 'wan=tsvmm1');
  assert.is(unknown.code, 2, unknown.stderr);
  assert.match(unknown.stderr, /"wan".*\nhint: its networks are: lan/);
  assert.equal(home.runs, ['tap'], 'neither has left anything behind');
  assert.equal(namespace.links, [TAP]);

  assert.is((await restore('other', '--tap', 'lan=tsvmm1')).code, 0);
  assert.is((await restore('none', '--tap', 'lan=')).code, 0);
  assert.equal(namespace.links.sort(), [TAP, 'tsvmm1']);
  const [link] = JSON.parse(namespace.within('-json', 'address', 'show', 'dev', 'tsvmm1')) as [Link];
  assert.not.ok(
    link.addr_info.some(({ local }) => local === '10.0.0.254'),
    "the host's address stays where it is",
  );
  assert.equal(await exchangeFromHost(20, 64), { answered: 20, bytes: 20 * 64 });
  for (const name of ['other', 'none']) await (await TestCluster.attach(home, name)).stop();
  assert.equal(namespace.links, [TAP]);
  await first.stop();
});

test.run();
