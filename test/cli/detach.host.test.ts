import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClusterStats, ClusterStatus } from '../../cli/cluster/status.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { buildElf } from '../support/elf.ts';
import { testUnless } from '../support.ts';
import { oneVm, TestHome } from './home.ts';

const test = suite('tsvmm run -d');
let home: TestHome;
test.before(async () => {
  if (lacksKvm() === undefined) home = await TestHome.create();
});
test.after(async () => home?.remove());
const hostTest = (name: string, body: () => Promise<void>) => testUnless(lacksKvm(), test, name, body);

/** A process that has ended may wait long to be reaped by init: then it is a zombie (proc(5), stat, field 3). */
function isRunning(pid: number | undefined): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

hostTest('boots, is listed, looked into, paused, resumed and stopped', async () => {
  const file = home.write('one.yaml', oneVm('cpu'));
  const started = await home.run('run', '-d', file);
  assert.is(started.code, 0, started.stderr);
  assert.is(started.stdout, 'one\n');

  const again = await home.run('run', '-d', file);
  assert.is(again.code, 5);
  assert.match(again.stderr, /TSVMM_E_CLUSTER_EXISTS/);

  const [one] = JSON.parse((await home.run('ps', '--format', 'json')).stdout) as ClusterStatus[];
  assert.is(one?.state, 'running');
  assert.ok((one?.vms[0]?.boot_ms ?? -1) > 0);
  assert.match((await home.run('ps')).stdout, /^one +running +1\/1 +64MiB/m);

  const logs = home.start('logs', '-f', 'one/node');
  await logs.untilStdout(/"ready"(.*\n)+.*"stat"/);
  const console = home.start('console', 'node');
  // What it shows of the past need not reach back to the beginning.
  await console.untilStdout(/"stat"/);

  assert.is((await home.run('pause')).code, 0);
  assert.is(
    (JSON.parse((await home.run('ps', 'one', '--format', 'json')).stdout) as ClusterStatus).state,
    'paused',
  );
  assert.is((await home.run('resume', 'one')).code, 0);
  const stats = JSON.parse((await home.run('stats', '--once', '--format', 'json')).stdout) as ClusterStats;
  assert.is(stats.vms[0]?.vcpus.length, 1);

  const stopped = await home.run('stop', 'one');
  assert.is(stopped.code, 0, stopped.stderr);
  assert.equal(home.runs, []);
  assert.not.ok(isRunning(one?.pid));
  // Those who looked on are told that there is nothing more.
  assert.is((await logs.ended).code, 0);
  assert.is((await console.ended).code, 0);
  assert.is((await home.run('ps', 'one')).code, 4);
});

hostTest('what goes wrong while it starts is the error of the command', async () => {
  const kernel = home.write('halt', buildElf());
  const silent = home.write('late.yaml', `vms: { node: { memory: 64MiB, kernel: ${kernel} } }`);
  const [fatal, late, invalid] = await Promise.all([
    home.run('run', '-d', '--name', 'a', home.write('fatal.yaml', oneVm('nonsense'))),
    home.run('run', '-d', '--name', 'b', '--timeout', '0.1', silent),
    home.run('run', '-d', home.write('bad.yaml', 'vms: { a: { x: } }')),
  ]);
  assert.is(fatal.code, 1);
  assert.match(fatal.stderr, /^error: node: the guest gave up/);
  assert.is(late.code, 6);
  assert.match(late.stderr, /TSVMM_E_TIMEOUT/);
  assert.is(invalid.code, 2);
  assert.match(invalid.stderr, /bad\.yaml:1:13: unknown key "x"/);
  assert.equal(home.runs, []);
});

hostTest('a killed process leaves nothing that the next command does not tidy up', async () => {
  const file = home.write('one.yaml', oneVm('idle'));
  assert.is((await home.run('run', '-d', file)).code, 0);
  const [one] = JSON.parse((await home.run('ps', '--format', 'json')).stdout) as ClusterStatus[];
  process.kill(one?.pid as number, 'SIGKILL');
  while (isRunning(one?.pid)) await new Promise(resolve => setTimeout(resolve, 5));
  assert.is((await home.run('run', '-d', file)).code, 0);
  assert.is((await home.run('stop')).code, 0);
  assert.equal(home.runs, []);
});

test.run();
