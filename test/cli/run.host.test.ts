import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClusterStats, ClusterStatus } from '../../cli/cluster/status.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { buildElf } from '../support/elf.ts';
import { testUnless } from '../support.ts';
import { TestHome } from './home.ts';

const test = suite('tsvmm run');
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

const vm = (args: string, more = '') =>
  `name: one\nvms: { node: { memory: 64MiB, args: [${args}] ${more} } }\n`;

hostTest('in the foreground: shows the console; Ctrl-C ends it with 130 and leaves nothing', async () => {
  const command = home.start('run', home.write('one.yaml', vm('cpu')));
  await command.untilStdout(/^node \| \{"event":"ready".*\n(.*\n)*node \| \{"event":"stat"/m);
  assert.equal(home.runs, ['one']);
  command.child.kill('SIGINT');
  const { code, stderr } = await command.ended;
  assert.is(code, 130);
  assert.is(stderr, '');
  assert.equal(home.runs, []);
});

hostTest('SIGTERM and SIGHUP end it as cleanly', async () => {
  const file = home.write('one.yaml', vm('idle'));
  for (const [signal, expected] of [
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    const command = home.start('run', file);
    await command.untilStdout(/"ready"/);
    command.child.kill(signal);
    assert.is((await command.ended).code, expected, signal);
    assert.equal(home.runs, []);
  }
});

hostTest('ends with 0 when all guests have powered off, and with --format json tells it all', async () => {
  const { code, stdout } = await home.run(
    'run',
    '--format',
    'json',
    home.write('one.yaml', vm('idle, run=1')),
  );
  assert.is(code, 0);
  const events = stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line));
  const types = events.map(event => event.type);
  for (const type of ['cluster-state', 'vm-state', 'console', 'vm-ready', 'vm-exit'])
    assert.ok(types.includes(type), type);
  assert.is(events.find(event => event.type === 'vm-exit').reason, 'power-off');
  assert.is(events.at(-1).state, 'stopped');
});

hostTest('a guest that gives up is shown and ends the foreground with TSVMM_E_GUEST_FATAL', async () => {
  const { code, stdout, stderr } = await home.run('run', home.write('one.yaml', vm('nonsense')));
  assert.is(code, 1);
  assert.match(stdout, /^node \| \{"event":"fatal"/m);
  assert.match(stderr, /^error: node: the guest gave up: .*nonsense.* \[TSVMM_E_GUEST_FATAL\]/);
  assert.equal(home.runs, []);
});

hostTest('a guest that crashes ends the foreground with its error', async () => {
  const { code, stderr } = await home.run('run', home.write('one.yaml', vm('fault, kind=triple')));
  assert.is(code, 1);
  assert.match(stderr, /^error: node: .* \[TSVMM_E_[A-Z_]+\]/);
  assert.equal(home.runs, []);
});

hostTest('what cannot boot has a coded error, a hint, and leaves nothing', async () => {
  const text = home.write('text', 'this is no kernel\n');
  const elf = readFileSync(join(home.path, 'images/bench/guest.elf'));
  const truncated = home.write('truncated', elf.subarray(0, elf.length / 2));
  const kernel = (path: string) => `name: one\nvms: { node: { memory: 64MiB, kernel: ${path} } }\n`;
  const cases: [string, string, number][] = [
    [kernel(text), 'TSVMM_E_IMAGE_INVALID', 2],
    [kernel(truncated), 'TSVMM_E_IMAGE_INVALID', 2],
    ['name: one\nvms: { node: { memory: 1024GiB } }\n', 'TSVMM_E_MEMORY', 3],
    ['name: one\nvms: { node: { memory: 0 } }\n', 'TSVMM_E_CONFIG', 2],
  ];
  for (const [index, [content, error, expected]] of cases.entries()) {
    const { code, stdout, stderr } = await home.run('run', home.write(`${index}.yaml`, content));
    assert.match(stderr, new RegExp(`^error: .* \\[${error}\\]`), error);
    assert.match(stderr, /^hint: /m, error);
    assert.is(code, expected, error);
    assert.is(stdout, '');
    assert.equal(home.runs, []);
  }
});

hostTest('when nobody reads its output any more, it ends', async () => {
  const command = home.start('run', home.write('one.yaml', vm('cpu')));
  await command.untilStdout(/"ready"/);
  command.child.stdout.destroy();
  const { code } = await command.ended;
  assert.is(code, 0);
  assert.equal(home.runs, []);
});

hostTest('-d: boots, is listed, looked into, paused, resumed and stopped', async () => {
  const file = home.write('one.yaml', vm('cpu'));
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
  await console.untilStdout(/"ready"/);

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

hostTest('-d: what goes wrong while it starts is the error of the command', async () => {
  const kernel = home.write('halt', buildElf());
  const silent = home.write('late.yaml', `vms: { node: { memory: 64MiB, kernel: ${kernel} } }`);
  const [fatal, late, invalid] = await Promise.all([
    home.run('run', '-d', '--name', 'a', home.write('fatal.yaml', vm('nonsense'))),
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

hostTest('-d: a killed process leaves nothing that the next command does not tidy up', async () => {
  const file = home.write('one.yaml', vm('idle'));
  assert.is((await home.run('run', '-d', file)).code, 0);
  const [one] = JSON.parse((await home.run('ps', '--format', 'json')).stdout) as ClusterStatus[];
  process.kill(one?.pid as number, 'SIGKILL');
  while (isRunning(one?.pid)) await new Promise(resolve => setTimeout(resolve, 5));
  assert.is((await home.run('run', '-d', file)).code, 0);
  assert.is((await home.run('stop')).code, 0);
  assert.equal(home.runs, []);
});

test.run();
