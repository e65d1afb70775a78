import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as v from 'valibot';
import { balloonRoutes } from '../../../cli/api/balloon-routes.ts';
import { ControlClient } from '../../../cli/api/client.ts';
import { clusterRoutes } from '../../../cli/api/cluster-routes.ts';
import { route } from '../../../cli/api/route.ts';
import { ControlServer } from '../../../cli/api/server.ts';
import { RunningCluster } from '../../../cli/cluster/cluster.ts';
import type { LogLine } from '../../../cli/cluster/log-reader.ts';
import type { ClusterStatus } from '../../../cli/cluster/status.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import type { TsvmmEvent } from '../../../vmm/events.ts';
import { FakeParts, pairConfig } from '../cluster/fakes.ts';

interface Context {
  directory: string;
  parts: FakeParts;
  cluster: RunningCluster;
  server: ControlServer;
  client: ControlClient;
  stopRequests: number;
}
const test = suite<Context>('control socket');

test.before.each(async context => {
  // Longer than a socket address may be.
  context.directory = join(mkdtempSync(join(tmpdir(), 'tsvmm-api-')), 'd'.repeat(100));
  mkdirSync(context.directory);
  context.parts = new FakeParts();
  context.stopRequests = 0;
  context.cluster = await RunningCluster.create(pairConfig(), context.parts, {
    logDirectory: context.directory,
  });
  context.cluster.start();
  const record = { cluster: 'pair', file: '/f', started: 's', version: '1', pid: 1, start_ticks: 2 };
  const routes = clusterRoutes(context.cluster, record, () => void context.stopRequests++);
  const echo = route({
    kind: 'call',
    method: 'POST',
    path: '/v1/echo',
    input: v.strictObject({ text: v.string() }),
    handle: input => input,
  });
  const late = route({
    kind: 'stream',
    method: 'GET',
    path: '/v1/late-error',
    input: v.strictObject({}),
    handle: async (_, stream) => {
      stream.write({ first: true });
      throw new TsvmmError('TSVMM_E_DISK', 'no space', { hint: 'make room' });
    },
  });
  context.server = await ControlServer.listen(context.directory, [
    ...routes,
    ...balloonRoutes(context.cluster),
    echo,
    late,
  ]);
  context.client = new ControlClient({ cluster: 'pair', directory: context.directory });
});
test.after.each(async ({ directory, cluster, server }) => {
  await cluster.stop();
  await server.close();
  rmSync(join(directory, '..'), { recursive: true });
});

const rejection = (promise: Promise<unknown>): Promise<TsvmmError> =>
  promise.then(
    () => assert.unreachable() as never,
    (error: TsvmmError) => error,
  );

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 5));
}

test('the socket is for its user alone', ({ directory }) => {
  assert.is(statSync(join(directory, 'control.sock')).mode & 0o777, 0o600);
});

test('status, pause, resume and stop', async context => {
  const { client, cluster } = context;
  assert.is((await client.get<ClusterStatus>('/v1/status')).state, 'running');
  assert.is((await client.post<ClusterStatus>('/v1/pause')).state, 'paused');
  assert.is(cluster.state, 'paused');
  assert.is((await client.post<ClusterStatus>('/v1/resume')).state, 'running');
  assert.equal(await client.post('/v1/stop'), {});
  await new Promise(resolve => setImmediate(resolve));
  assert.is(context.stopRequests, 1);
});

test('errors cross with code, message and hint', async ({ client, cluster }) => {
  await cluster.stop();
  const error = await rejection(client.post('/v1/pause'));
  assert.is(error.code, 'TSVMM_E_CONFLICT');
  assert.is(error.exitCode, 5);
  assert.match(error.hint ?? '', 'tsvmm ps');
});

test('what is not a request of ours is refused', async ({ client }) => {
  const cases: [Promise<unknown>, string, RegExp][] = [
    [client.get('/v1/nothing'), 'TSVMM_E_NOT_FOUND', /knows no GET/],
    [client.get('/v1/pause'), 'TSVMM_E_NOT_FOUND', /knows no GET/],
    [client.get('/v1/status', { query: { more: 1 } }), 'TSVMM_E_USAGE', /more/],
    [client.post('/v1/echo', { text: 5 }), 'TSVMM_E_USAGE', /^text: /],
    [client.post('/v1/echo', { text: 'x'.repeat(70_000) }), 'TSVMM_E_USAGE', /at most/],
    [client.get('/v1/console', { query: { vm: 'server' } }), 'TSVMM_E_USAGE', /upgrade/],
    [client.upgrade('/v1/status', {}), 'TSVMM_E_USAGE', /upgrade/],
    [client.upgrade('/v1/console', { vm: 'nobody' }), 'TSVMM_E_VM_NOT_FOUND', /nobody/],
  ];
  for (const [promise, code, message] of cases) {
    const error = await rejection(promise);
    assert.is(error.code, code);
    assert.match(error.message, message);
  }
});

test('a body that is not JSON is refused', async ({ directory }) => {
  const socketPath = join(directory, '../link');
  const { symlinkSync } = await import('node:fs');
  symlinkSync(join(directory, 'control.sock'), socketPath);
  const status = await new Promise(resolve => {
    const outgoing = request({ socketPath, method: 'POST', path: '/v1/echo' }, reply => {
      reply.resume();
      resolve(reply.statusCode);
    });
    outgoing.end('{"text":');
  });
  assert.is(status, 400);
});

test('an error after the first line of a stream reaches the client', async ({ client }) => {
  const lines: unknown[] = [];
  const reading = (async () => {
    for await (const line of client.stream({ method: 'GET', path: '/v1/late-error' })) lines.push(line);
  })();
  const error = await rejection(reading);
  assert.equal(lines, [{ first: true }]);
  assert.is(error.code, 'TSVMM_E_DISK');
  assert.is(error.hint, 'make room');
});

test('logs: what was said, then what is said, each line once and in order', async ({ client, parts }) => {
  const server = parts.machine('server');
  for (let i = 0; i < 500; i++) server.say(`${i}\n`);
  const controller = new AbortController();
  const exchange = {
    method: 'GET',
    path: '/v1/logs',
    query: { vm: 'server', follow: true },
    signal: controller.signal,
  } as const;
  const numbers: number[] = [];
  let said = 500;
  for await (const { line, vm } of client.stream<LogLine>(exchange)) {
    assert.is(vm, 'server');
    numbers.push(Number(line));
    if (said < 1000) server.say(`${said++}\n`);
    if (numbers.length === 1000) controller.abort();
  }
  assert.equal(
    numbers,
    Array.from({ length: 1000 }, (_, i) => i),
  );
});

test('logs: of the past nothing is dropped, however much there is to read', async ({ client, parts }) => {
  const lineCount = 100_000;
  parts.machine('server').say(Array.from({ length: lineCount }, (_, i) => `${i}\n`).join(''));
  let count = 0;
  for await (const { line } of client.stream<LogLine>({ method: 'GET', path: '/v1/logs' }))
    assert.is(line, String(count++));
  assert.is(count, lineCount);
});

test('logs: of all VMs, the last lines only, and no follower stays behind', async ({
  client,
  parts,
  cluster,
}) => {
  parts.machine('server').say('a\nb\n');
  parts.machine('client').say('c\n');
  const lines: string[] = [];
  for await (const line of client.stream<LogLine>({ method: 'GET', path: '/v1/logs', query: { tail: 2 } }))
    lines.push(line.line);
  assert.is(lines.length, 2);
  assert.is(cluster.vm('server').console.listenerCount('line'), 1);
});

test('events: from now on, and the stream ends with the server', async ({ client, cluster, server }) => {
  const seen: string[] = [];
  let connected: () => void = () => {};
  const first = new Promise<void>(resolve => {
    connected = resolve;
  });
  const reading = (async () => {
    for await (const event of client.stream<TsvmmEvent>({ method: 'GET', path: '/v1/events' })) {
      connected();
      seen.push('state' in event ? `${event.type} ${event.state}` : event.type);
    }
  })();
  // Nothing says when the subscription stands, so make events until one arrives.
  const timer = setInterval(() => void cluster.pause().then(() => cluster.resume()), 10);
  await first;
  clearInterval(timer);
  await cluster.stop();
  await server.close();
  await reading;
  assert.is(seen.at(-1), 'cluster-state stopped');
});

test('console: replay, output, input, and the end of the guest', async ({ client, parts, cluster }) => {
  const server = parts.machine('server');
  server.say('before\n');
  const socket = await client.upgrade('/v1/console', { vm: 'server' });
  let shown = '';
  socket.setEncoding('utf8').on('data', text => {
    shown += text;
  });
  await until(() => shown.includes('before'));
  server.say('after');
  socket.write('typed\r');
  await until(() => shown.includes('after') && server.typed === 'typed\r');
  assert.is(shown, 'before\nafter');
  const ended = new Promise(resolve => socket.on('end', resolve));
  server.emit('exit', { kind: 'power-off' });
  await ended;
  socket.destroy();
  await until(() => cluster.vm('server').console.listenerCount('bytes') === 0);
});

test('console: what a guest does not take yet is not read either', async ({ client, parts, cluster }) => {
  const server = parts.machine('server');
  server.takesInput = false;
  const socket = await client.upgrade('/v1/console', { vm: 'server' });
  const paste = 'x'.repeat(4 * 2 ** 20);
  socket.write(paste);
  let before = 0;
  while (server.typed.length !== paste.length) {
    await until(() => server.typed.length > before);
    before = server.typed.length;
    // Another client of the same control thread has been answered meanwhile.
    await client.get('/v1/status');
    assert.is(server.typed.length, before);
    server.emit('inputTaken');
  }
  server.emit('exit', { kind: 'power-off' });
  await new Promise(resolve => socket.on('end', resolve).resume());
  socket.destroy();
  await until(() => cluster.vm('server').listenerCount('inputTaken') === 0);
});

test('balloon: a VM that has none, one that has ended, and one that has less', async ({ client, parts }) => {
  const resize = (vm: string, size_bytes = 64 * 2 ** 20) => client.post('/v1/balloon', { vm, size_bytes });
  const codeOf = async (refused: Promise<unknown>) => (await rejection(refused)).code;
  assert.is(await codeOf(resize('server')), 'TSVMM_E_CONFLICT');
  assert.is(await codeOf(resize('client', 2 ** 30)), 'TSVMM_E_USAGE');
  assert.equal(await resize('client'), {
    ...{ vm: 'client', state: 'running', memory_bytes: 256 * 2 ** 20 },
    ...{ live: false, target_bytes: 0, actual_bytes: 0, statistics: {} },
  });
  parts.machine('client').emit('exit', { kind: 'power-off' });
  assert.match((await rejection(resize('client'))).message, 'has ended');
});

test('console size: goes to the machine; what cannot be a size is refused', async ({ client, parts }) => {
  await client.post('/v1/console/size', { vm: 'server', columns: 132, rows: 43 });
  assert.ok(parts.log.includes('size server 132x43'));
  const error = await client.post('/v1/console/size', { vm: 'server', columns: 0, rows: 43 }).then(
    () => assert.unreachable(),
    (reason: TsvmmError) => reason,
  );
  assert.is(error?.code, 'TSVMM_E_USAGE');
});

test('close: ends consoles and streams that clients hold open, and removes the socket', async ({
  client,
  server,
  directory,
}) => {
  const socket = await client.upgrade('/v1/console', { vm: 'server' });
  socket.resume();
  const ended = new Promise(resolve => socket.on('close', resolve));
  socket.on('end', () => socket.end());
  await server.close();
  await ended;
  assert.is(statSync(join(directory, 'control.sock'), { throwIfNoEntry: false }), undefined);
  assert.is((await rejection(client.get('/v1/status'))).code, 'TSVMM_E_CLUSTER_NOT_FOUND');
});

test.run();
