/** examples/pair.yaml: a TCP server with a disk, and its client. One cluster for all tests of this file. */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClusterStats } from '../../cli/cluster/status.ts';
import { findTool } from '../../guest-images/find-tool.ts';
import type { TsvmmEvent } from '../../vmm/events.ts';
import { TestHome } from '../cli/home.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { allReports, counterOf, opsOf, reportOf, TestCluster } from './support/test-cluster.ts';

const test = suite('pair');
const example = join(import.meta.dirname, '../../examples/pair.yaml');
/** The promise is for 60 s; here it is tried for a few. */
const SECONDS = Number(process.env.TSVMM_TEST_SECONDS ?? 5);

let home: TestHome;
let cluster: TestCluster;
test.before(async () => {
  if (lacksKvm() !== undefined) return;
  home = await TestHome.create();
  cluster = await TestCluster.start(home, example);
});
test.after(async () => home?.remove());
const hostTest = (name: string, body: () => Promise<void>) => testUnless(lacksKvm(), test, name, body);

const clientOps = async () => opsOf(await cluster.stats, 'client', 'tcp-client');

async function untilClientGoesOn(count = 50): Promise<void> {
  const before = await clientOps();
  await cluster.until(stats => opsOf(stats, 'client', 'tcp-client') >= before + count);
}

/** The fields of each packet that tshark reads from `file`, or of those that `filter` lets through. */
function dissect(file: string, fields: readonly string[], filter?: string): string[][] {
  const words = ['-r', file, '-T', 'fields', ...fields.flatMap(field => ['-e', field])];
  const text = execFileSync('tshark', filter === undefined ? words : [...words, '-Y', filter], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => line.split('\t'));
}

hostTest(`answers requests for ${SECONDS} s: none fails, no segment is sent twice`, async () => {
  const time_ms = (stats: ClusterStats) => Number(reportOf(stats, 'client', 'tcp-client')?.t_ms ?? 0);
  const end_ms = time_ms(await cluster.stats) + SECONDS * 1000;
  const stats = await cluster.until(now => time_ms(now) >= end_ms);
  for (const report of allReports(stats)) {
    const what = `${report.workload}: ${JSON.stringify(report)}`;
    assert.is(report.errors, 0, what);
    assert.is(report.retransmits, 0, what);
    assert.ok(Number(report.ops) > 50, what);
  }
  assert.is(allReports(stats).length, 3);
  // Each request and each answer is a frame of its own.
  assert.ok(counterOf(stats, 'lan', 'client/net0', 'sent_frames') >= opsOf(stats, 'client', 'tcp-client'));
  assert.is(counterOf(stats, 'lan', 'server/net0', 'overflow_frames'), 0);
});

hostTest('pause stops both guests between two instructions; resume lets TCP go on', async () => {
  const sentFrames = async () => counterOf(await cluster.stats, 'lan', 'client/net0', 'sent_frames');
  await untilClientGoesOn();
  assert.is((await home.run('pause', 'pair')).code, 0);
  try {
    // What a guest had queued before may still be fetched.
    let paused = await sentFrames();
    for (let before = -1; before !== paused; paused = await sentFrames()) {
      before = paused;
      await sleep(200);
    }
    // Longer than lwIP waits before it sends a segment again: a guest that sleeps must not notice.
    await sleep(1500);
    assert.is(await sentFrames(), paused);
  } finally {
    assert.is((await home.run('resume', 'pair')).code, 0);
  }
  await untilClientGoesOn();
  for (const report of allReports(await cluster.stats)) assert.is(report.errors, 0);
});

hostTest('capture: writes what tshark reads, until it is ended', async () => {
  const file = join(home.path, 'pair.pcapng');
  const capture = home.start('capture', 'pair', '--net', 'lan', '-w', file);
  const written = () => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  while (written() < 50_000) await sleep(20);
  capture.child.kill('SIGINT');
  assert.is((await capture.ended).code, 130);
  assert.is(readFileSync(file).readUInt32LE(0), 0x0a0d0d0a, 'a section header block begins it');
  await untilClientGoesOn();
  if (findTool('tshark') === undefined) {
    console.log('skipped: what tshark says: it is not installed');
    return;
  }
  const tcp = dissect(file, ['frame.comment', 'ip.src', 'tcp.srcport']).filter(([, , port]) => port !== '');
  assert.ok(tcp.length > 100, `${tcp.length} TCP segments`);
  assert.equal([...new Set(tcp.map(([, source]) => source))].sort(), ['10.0.0.1', '10.0.0.2']);
  for (const [comment] of tcp) assert.match(comment ?? '', /^epoch=0 .* decision=deliver$/);
  assert.equal(dissect(file, ['frame.number'], '_ws.malformed || tcp.analysis.retransmission'), []);
});

hostTest('stats: a table of VMs, workloads, ports and disks', async () => {
  const { code, stdout } = await home.run('stats', '--once', 'pair');
  assert.is(code, 0);
  for (const row of [/^server +running/m, /^client +running/m, /^lan client\/net0/m, /^server\/disk0/m])
    assert.match(stdout, row);
  const stats = await cluster.stats;
  const disk = stats.disks['server/disk0'] as Record<string, number>;
  assert.ok((disk.write_count ?? 0) > 0, JSON.stringify(disk));
});

hostTest('events: tells of a pause, a resume and the end, with which it ends', async () => {
  const command = home.start('events', 'pair');
  // Whether it listens already cannot be seen before it tells of something.
  while (command.stdout === '') {
    await home.run('pause', 'pair');
    await home.run('resume', 'pair');
  }
  await untilClientGoesOn();
  await cluster.stop();
  const { code, stdout } = await command.ended;
  assert.is(code, 0);
  const events = stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as TsvmmEvent);
  const clusterStates = events.flatMap(event => (event.type === 'cluster-state' ? [event.state] : []));
  // The stream ends with the cluster: whether its very last state is heard is a race.
  assert.equal(clusterStates.filter(state => state !== 'stopped').slice(-2), ['running', 'stopping']);
  const clientStates = events.flatMap(event =>
    event.type === 'vm-state' && event.vm === 'client' ? [event.state] : [],
  );
  assert.equal(clientStates.slice(-2), ['running', 'stopped']);
});

test.run();
