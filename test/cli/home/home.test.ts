import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { homeDirectory } from '../../../cli/home/layout.ts';
import { isAlive, ownIdentity } from '../../../cli/home/process-identity.ts';
import { RunDirectory } from '../../../cli/home/run-directory.ts';
import { findCluster, runningClusters } from '../../../cli/home/running.ts';
import { accepts, socketPath } from '../../../cli/home/socket.ts';
import type { TsvmmError } from '../../../vmm/errors.ts';

const test = suite('home', { home: '' });
test.before.each(context => {
  context.home = mkdtempSync(join(tmpdir(), 'tsvmm-home-'));
  process.env.TSVMM_HOME = context.home;
});
test.after.each(({ home }) => rmSync(home, { recursive: true }));

const claim = (cluster: string) =>
  RunDirectory.claim({ cluster, file: '/x.yaml', started: new Date().toISOString(), version: '0' });
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: TsvmmError) => error.code,
  );

/** A run directory as a process that is gone would have left it. */
function leaveStale(home: string, cluster: string): string {
  const path = join(home, 'run', cluster);
  mkdirSync(path, { recursive: true });
  const record = { pid: process.pid, start_ticks: 1, cluster, file: '/x', started: '', version: '0' };
  writeFileSync(join(path, 'process.json'), JSON.stringify(record));
  writeFileSync(join(path, 'old.log'), 'x');
  return path;
}

const listen = (path: string): Promise<Server> =>
  new Promise(resolve => {
    const server = createServer(socket => socket.destroy());
    server.listen(path, () => resolve(server));
  });

test("homeDirectory: $TSVMM_HOME made absolute, or below the user's home", ({ home }) => {
  assert.is(homeDirectory(), home);
  process.env.TSVMM_HOME = 'relative';
  assert.is(homeDirectory(), join(process.cwd(), 'relative'));
  process.env.TSVMM_HOME = '';
  assert.match(homeDirectory(), /\/\.local\/share\/tsvmm$/);
});

test('isAlive: this process is, one with another start time and one that has ended are not', async () => {
  const own = ownIdentity();
  assert.ok(isAlive(own));
  assert.not.ok(isAlive({ ...own, start_ticks: own.start_ticks + 1 }));
  const child = spawn('true');
  await new Promise(resolve => child.on('exit', resolve));
  assert.not.ok(isAlive({ pid: child.pid as number, start_ticks: own.start_ticks }));
});

test('claim: the directory is private to the user, and gone after remove', async () => {
  const directory = await claim('a');
  assert.is(statSync(directory.path).mode & 0o777, 0o700);
  assert.equal(
    (await runningClusters()).map(entry => entry.cluster),
    ['a'],
  );
  directory.remove();
  directory.remove();
  assert.not.ok(existsSync(directory.path));
});

test('claim: a name that a living process has is refused, whoever asks', async ({ home }) => {
  const directory = await claim('a');
  assert.is(await codeOf(claim('a')), 'TSVMM_E_CLUSTER_EXISTS');
  assert.equal(readdirSync(join(home, 'run')), ['a']);
  directory.remove();
});

test('claim: what leads out of the directory, or is no name, is refused', async ({ home }) => {
  for (const name of ['../a', 'a/b', '', '.', 'A', 'a'.repeat(41)])
    assert.is(await codeOf(claim(name)), 'TSVMM_E_USAGE', name);
  assert.not.ok(existsSync(join(home, 'run')));
});

test('claim: of many that want a name at the same time one gets it', async ({ home }) => {
  leaveStale(home, 'a');
  const codes = await Promise.all(Array.from({ length: 8 }, () => codeOf(claim('a'))));
  assert.is(codes.filter(code => code === 'none').length, 1);
  assert.equal(readdirSync(join(home, 'run')), ['a']);
});

test('claim: what a dead process left is replaced', async ({ home }) => {
  const path = leaveStale(home, 'a');
  const directory = await claim('a');
  assert.not.ok(existsSync(join(path, 'old.log')));
  directory.remove();
});

test('runningClusters: removes stale directories and damaged ones', async ({ home }) => {
  leaveStale(home, 'a');
  mkdirSync(join(home, 'run', 'b'));
  writeFileSync(join(home, 'run', 'b', 'process.json'), '{"pid":');
  assert.equal(await runningClusters(), []);
  assert.equal(readdirSync(join(home, 'run')), []);
});

test('runningClusters: a process id means nothing when the socket answers (another PID namespace)', async ({
  home,
}) => {
  const path = leaveStale(home, 'a');
  const server = await listen(join(path, 'control.sock'));
  assert.is((await runningClusters()).length, 1);
  await new Promise(resolve => server.close(resolve));
  assert.is((await runningClusters()).length, 0);
});

test('findCluster: by name, or the only one; else it says what runs', async () => {
  assert.is(await codeOf(findCluster()), 'TSVMM_E_CLUSTER_NOT_FOUND');
  const pair = await claim('pair');
  assert.is((await findCluster()).cluster, 'pair');
  const ring = await claim('ring');
  assert.is((await findCluster('ring')).cluster, 'ring');
  assert.is(await codeOf(findCluster()), 'TSVMM_E_USAGE');
  await findCluster('rnig').catch((error: TsvmmError) =>
    assert.match(String(error.hint), /did you mean "ring"/),
  );
  pair.remove();
  ring.remove();
});

test('socketPath: works where the path is longer than a socket address', async ({ home }) => {
  const deep = join(home, 'd'.repeat(120));
  mkdirSync(deep);
  assert.not.ok(await accepts(deep));
  const { path, release } = socketPath(deep);
  assert.ok(path.length < 107);
  const server = await listen(path);
  assert.ok(existsSync(join(deep, 'control.sock')));
  assert.ok(await accepts(deep));
  await new Promise(resolve => server.close(resolve));
  release();
  assert.not.ok(existsSync(join(deep, 'control.sock')));
});

test.run();
