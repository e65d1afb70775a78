import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RunningCluster } from '../../../cli/cluster/cluster.ts';
import type { VmExit } from '../../../cli/cluster/cluster-vm.ts';
import { clusterStats, clusterStatus } from '../../../cli/cluster/status.ts';
import type { ResolvedVm } from '../../../cli/config/resolved.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import { subscribe, type TsvmmEvent } from '../../../vmm/events.ts';
import { FakeParts, pairConfig } from './fakes.ts';

const test = suite('RunningCluster', { directory: '', parts: new FakeParts() });
test.before.each(context => {
  context.directory = mkdtempSync(join(tmpdir(), 'tsvmm-cluster-'));
  context.parts = new FakeParts();
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true }));

const ready = '{"event":"ready"}\n';
const create = (parts: FakeParts, logDirectory: string) =>
  RunningCluster.create(pairConfig(), parts, { logDirectory });
const rejection = (promise: Promise<unknown>): Promise<TsvmmError> =>
  promise.then(
    () => assert.unreachable() as never,
    (error: TsvmmError) => error,
  );

test('create: machines get their devices and command lines, and start side by side after it', async ({
  parts,
  directory,
}) => {
  const cluster = await create(parts, directory);
  const { recipe } = parts.machine('server');
  assert.is(recipe.cmdline, 'tcp-server port=7 vcpus=1 vm=server ip=10.0.0.1/24 ip1=10.1.0.1/16');
  assert.equal(
    recipe.devices.map(device => device.name),
    ['rng', 'disk0', 'net0', 'net1'],
  );
  assert.is(parts.machine('client').recipe.cmdline, 'vcpus=2 vm=client');
  cluster.start();
  await cluster.stop();
});

test('create: what an image brings comes first: its words, its disk, and the console that was asked for', async ({
  parts,
  directory,
}) => {
  const disk = { base: '/images/root.img', size_bytes: 4096, readonly: false };
  parts.bootFiles = async () => ({ kernel: '/images/vmlinuz', initrd: '/i', cmdline: 'root=/dev/vda', disk });
  const [server, ...others] = pairConfig().vms as [ResolvedVm, ...ResolvedVm[]];
  const config = { ...pairConfig(), vms: [{ ...server, console: 'virtio' as const }, ...others] };
  const cluster = await RunningCluster.create(config, parts, { logDirectory: directory });
  const { recipe } = parts.machine('server');
  assert.match(recipe.cmdline, /^root=\/dev\/vda console=hvc0 tcp-server port=7 vcpus=1 vm=server /);
  assert.is(recipe.initrd, '/i');
  assert.equal(
    recipe.devices.map(device => device.name),
    ['rng', 'console', 'disk0', 'disk1', 'net0', 'net1'],
  );
  assert.ok(recipe.console);
  assert.is(parts.machine('client').recipe.cmdline, 'root=/dev/vda vcpus=2 vm=client');
  await cluster.stop();
});

test('stop: undoes everything in the reverse order, once', async ({ parts, directory }) => {
  const cluster = await create(parts, directory);
  cluster.start();
  await Promise.all([cluster.stop(), cluster.stop()]);
  assert.equal(parts.log, [
    'open networks',
    'open disks',
    'create server',
    'create client',
    'start server',
    'start client',
    'stop server',
    'stop client',
    'close disks',
    'close networks',
  ]);
  assert.is(cluster.state, 'stopped');
});

test('powerOff: resolves when those that have a button have ended, and does not wait for the others', async ({
  parts,
  directory,
}) => {
  const cluster = await create(parts, directory);
  cluster.start();
  const server = parts.machine('server');
  server.hasPowerButton = true;
  let ended = false;
  const poweredOff = cluster.powerOff(60_000).then(() => {
    ended = true;
  });
  await new Promise(resolve => setTimeout(resolve, 50));
  assert.equal([ended, parts.log.slice(-2)], [false, ['press server', 'press client']]);
  server.emit('exit', { kind: 'power-off' });
  await poweredOff;
  await cluster.stop();
});

test('powerOff: gives up after its time, and on a guest that does not look', async ({ parts, directory }) => {
  const cluster = await create(parts, directory);
  cluster.start();
  parts.machine('server').hasPowerButton = true;
  await cluster.powerOff(30);
  parts.machine('server').powerButtonUnseen = true;
  await cluster.powerOff(3_600_000);
  const presses = parts.log.filter(line => line.startsWith('press'));
  await cluster.powerOff(0);
  assert.equal(
    parts.log.filter(line => line.startsWith('press')),
    presses,
  );
  assert.is(cluster.vm('server').exit, undefined);
  await cluster.stop();
});

test('create: when one machine cannot be made the others are given back, and the error names it', async ({
  parts,
  directory,
}) => {
  parts.broken = {
    vm: 'client',
    error: new TsvmmError('TSVMM_E_MEMORY', 'too little', { hint: 'buy more' }),
  };
  const error = await rejection(create(parts, directory));
  assert.is(error.code, 'TSVMM_E_MEMORY');
  assert.is(error.message, 'client: too little');
  assert.is(error.hint, 'buy more');
  assert.equal(parts.log.slice(-3), ['stop server', 'close disks', 'close networks']);
});

test('booted: resolves when every guest is ready', async ({ parts, directory }) => {
  const cluster = await create(parts, directory);
  cluster.start();
  const booted = cluster.booted(5000);
  parts.machine('server').say(ready);
  parts.machine('client').say(ready.slice(0, 5));
  parts.machine('client').say(ready.slice(5));
  await booted;
  assert.ok((cluster.vm('server').boot_ms ?? -1) >= 0);
  await cluster.stop();
});

test('booted: rejects with TSVMM_E_TIMEOUT, naming who is late', async ({ parts, directory }) => {
  const cluster = await create(parts, directory);
  cluster.start();
  parts.machine('server').say(ready);
  const error = await rejection(cluster.booted(20));
  assert.is(error.code, 'TSVMM_E_TIMEOUT');
  assert.match(error.message, /: client$/);
  await cluster.stop();
});

test('booted: rejects when a guest ends before', async ({ parts, directory }) => {
  const cluster = await create(parts, directory);
  cluster.start();
  parts.machine('client').emit('exit', { kind: 'power-off' });
  const error = await rejection(cluster.booted(5000));
  assert.match(error.message, /client: the guest ended before it had booted/);
  await cluster.stop();
});

test("a guest that ends is given back at once; when the last one has, the cluster has 'ended'", async ({
  parts,
  directory,
}) => {
  const cluster = await create(parts, directory);
  const exits: [string, VmExit][] = [];
  const both = new Promise<void>(resolve =>
    cluster.on('exit', (vm, exit) => {
      exits.push([vm.name, exit]);
      if (exits.length === 2) resolve();
    }),
  );
  cluster.start();
  parts.machine('server').emit('exit', { kind: 'power-off' });
  await new Promise(resolve => cluster.once('exit', resolve));
  assert.is(parts.machine('server').state, 'stopped');
  assert.is(cluster.state, 'running');
  parts.machine('client').emit('exit', { kind: 'reset' });
  await both;
  assert.is(cluster.state, 'ended');
  assert.equal(exits, [
    ['server', { reason: 'power-off' }],
    ['client', { reason: 'reset' }],
  ]);
  await cluster.stop();
});

test('a fatal line of a bench guest is how it ended, whatever follows', async ({ parts, directory }) => {
  const cluster = await create(parts, directory);
  cluster.start();
  const exit = new Promise<VmExit>(resolve => cluster.once('exit', (_, how) => resolve(how)));
  parts.machine('server').say('{"event":"fatal","why":"page 7 is damaged"}\n');
  parts.machine('server').emit('exit', { kind: 'power-off' });
  const { reason, error } = await exit;
  assert.is(reason, 'error');
  assert.is(error?.code, 'TSVMM_E_GUEST_FATAL');
  assert.is(error?.message, 'server: the guest gave up: page 7 is damaged');
  await cluster.stop();
});

test('pause and resume: all machines, idempotent, refused once the cluster has ended', async ({
  parts,
  directory,
}) => {
  const cluster = await create(parts, directory);
  cluster.start();
  await cluster.pause();
  await cluster.pause();
  assert.is(cluster.state, 'paused');
  assert.is(parts.machine('server').state, 'paused');
  cluster.resume();
  cluster.resume();
  assert.is(cluster.state, 'running');
  await cluster.stop();
  assert.is((await rejection(cluster.pause())).code, 'TSVMM_E_CONFLICT');
});

test('consoles are logged, line by line, also what a guest said last without ending the line', async ({
  parts,
  directory,
}) => {
  const cluster = await create(parts, directory);
  cluster.start();
  parts.machine('server').say('one\r\ntwo\nthr');
  parts.machine('server').say('ee');
  await cluster.stop();
  const lines = readFileSync(join(directory, 'server.log'), 'utf8').trimEnd().split('\n');
  assert.equal(
    lines.map(line => line.slice(25)),
    ['one', 'two', 'three'],
  );
  for (const line of lines) assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /);
});

test('a warning about a guest is an event, and the guest runs on', async ({ parts, directory }) => {
  const events: TsvmmEvent[] = [];
  const cluster = await create(parts, directory);
  cluster.start();
  const unsubscribe = subscribe(event => events.push(event));
  parts.machine('client').emit('warning', 'no system calls');
  unsubscribe();
  assert.equal(
    events.map(({ time_ms: _, ...event }) => event),
    [{ type: 'vm-warning', cluster: 'pair', vm: 'client', message: 'no system calls' }],
  );
  assert.is(cluster.vm('client').state, 'running');
  await cluster.stop();
});

test('events tell the whole life of a cluster', async ({ parts, directory }) => {
  const events: TsvmmEvent[] = [];
  const unsubscribe = subscribe(event => events.push(event));
  const cluster = await create(parts, directory);
  cluster.start();
  parts.machine('client').say(ready);
  await cluster.stop();
  unsubscribe();
  const told = events.map(event =>
    [event.type, 'vm' in event ? event.vm : '', 'state' in event ? event.state : ''].join(' ').trim(),
  );
  assert.equal(told, [
    'cluster-state  starting',
    'vm-state server created',
    'vm-state client created',
    'vm-state server running',
    'vm-state client running',
    'cluster-state  running',
    'vm-ready client',
    'cluster-state  stopping',
    'vm-state server stopped',
    'vm-state client stopped',
    'cluster-state  stopped',
  ]);
  assert.ok(events.every(event => Math.abs(event.time_ms - Date.now()) < 60_000));
});

test('clusterStatus and clusterStats show what is known', async ({ parts, directory }) => {
  const cluster = await create(parts, directory);
  cluster.start();
  parts.machine('server').say('{"event":"stat","workload":"cpu","t_ms":1,"ops":5}\n');
  parts.machine('server').say('{"event":"stat","workload":"cpu","t_ms":2,"ops":9}\n{"broken\n');
  const record = { cluster: 'pair', file: '/f', started: 's', version: '1', pid: 1, start_ticks: 2 };
  const { vms, state } = clusterStatus(cluster, record);
  assert.is(state, 'running');
  assert.equal(vms[0]?.nets[0], {
    network: 'lan',
    mac: pairConfig().vms[0]?.nets[0]?.mac,
    ip: '10.0.0.1/24',
  });
  const stats = clusterStats(cluster);
  assert.equal(stats.vms[0]?.reports, [{ event: 'stat', workload: 'cpu', t_ms: 2, ops: 9 }]);
  assert.equal(stats.networks, { lan: { frames: 7 } });
  await cluster.stop();
});

test.run();
