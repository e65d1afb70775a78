import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacksKvm } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { oneVm, TestHome } from './home.ts';

const test = suite('tsvmm run');
let home: TestHome;
test.before(async () => {
  if (lacksKvm() === undefined) home = await TestHome.create();
});
test.after(async () => home?.remove());
const hostTest = (name: string, body: () => Promise<void>) => testUnless(lacksKvm(), test, name, body);

hostTest('in the foreground: shows the console; Ctrl-C ends it with 130 and leaves nothing', async () => {
  const command = home.start('run', home.write('one.yaml', oneVm('cpu')));
  await command.untilStdout(/^node \| \{"event":"ready".*\n(.*\n)*node \| \{"event":"stat"/m);
  assert.equal(home.runs, ['one']);
  command.child.kill('SIGINT');
  const { code, stderr } = await command.ended;
  assert.is(code, 130);
  assert.match(stderr, /^node has booted in \d+\.\d\d s\n$/);
  assert.equal(home.runs, []);
});

hostTest('SIGTERM and SIGHUP end it as cleanly', async () => {
  const file = home.write('one.yaml', oneVm('idle'));
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
    home.write('one.yaml', oneVm('idle, run=1')),
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
  const { code, stdout, stderr } = await home.run('run', home.write('one.yaml', oneVm('nonsense')));
  assert.is(code, 1);
  assert.match(stdout, /^node \| \{"event":"fatal"/m);
  assert.match(stderr, /^error: node: the guest gave up: .*nonsense.* \[TSVMM_E_GUEST_FATAL\]/);
  assert.equal(home.runs, []);
});

hostTest('a guest that crashes ends the foreground with its error', async () => {
  const { code, stderr } = await home.run('run', home.write('one.yaml', oneVm('fault, kind=triple')));
  assert.is(code, 1);
  assert.match(stderr, /^error: node: .* \[TSVMM_E_[A-Z_]+\]/m);
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
  const command = home.start('run', home.write('one.yaml', oneVm('cpu')));
  await command.untilStdout(/"ready"/);
  command.child.stdout.destroy();
  const { code } = await command.ended;
  assert.is(code, 0);
  assert.equal(home.runs, []);
});

test.run();
