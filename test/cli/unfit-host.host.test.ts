import { chmodSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findTool } from '../../guest-images/find-tool.ts';
import { kvmIsEverybodys } from '../support/bench-image.ts';
import { testUnless } from '../support.ts';
import { type Outcome, TsvmmCommand, tsvmmProgram } from './command.ts';
import { TestHome } from './home.ts';

const test = suite('tsvmm run on an unfit host');
let home: TestHome;
test.before(async () => {
  home = await TestHome.create();
});
test.after(async () => home.remove());

const isRoot = process.getuid?.() === 0;
const lacks = (tool: string) => (findTool(tool) === undefined ? `${tool} is not installed` : undefined);
const notRoot = isRoot ? undefined : 'not root';

function run(...wrapper: string[]): Promise<Outcome> {
  const file = home.write('one.yaml', 'vms: { node: { memory: 64MiB } }');
  return new TsvmmCommand([...wrapper, ...tsvmmProgram, 'run', file], { TSVMM_HOME: home.path }).ended;
}

function assertUnfit({ code, stdout, stderr }: Outcome, error: string, hint: RegExp): void {
  assert.match(stderr, new RegExp(`^error: .* \\[${error}\\]\n`));
  assert.match(stderr, hint);
  assert.is(code, 3);
  assert.is(stdout, '');
  assert.equal(home.runs, []);
}

testUnless(
  notRoot ?? lacks('setpriv') ?? kvmIsEverybodys(),
  test,
  'without permission: TSVMM_E_KVM_PERMISSION, and the group to join',
  async () => {
    chmodSync(home.path, 0o777);
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    assertUnfit(await run(...nobody), 'TSVMM_E_KVM_PERMISSION', /^hint: .*group kvm/m);
  },
);

/** A shell that has a /dev of its own with nothing in it but what Node needs. */
const bareDev = [
  ...['unshare', '--mount', 'sh', '-c'],
  'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && exec "$@"',
  'sh',
];

testUnless(
  notRoot ?? lacks('unshare'),
  test,
  'without /dev/kvm: TSVMM_E_KVM_MISSING, and how to get it',
  async () => assertUnfit(await run(...bareDev), 'TSVMM_E_KVM_MISSING', /^hint: .*modprobe/m),
);

testUnless(
  notRoot ?? lacks('unshare'),
  test,
  'with something else at /dev/kvm: TSVMM_E_KVM_UNFIT or a failed call, not a crash',
  async () => {
    const wrapper = ['unshare', '--mount', 'sh', '-c', 'mount --bind /dev/null /dev/kvm && exec "$@"', 'sh'];
    const { code, stderr } = await run(...wrapper);
    assert.match(stderr, /^error: .* \[TSVMM_E_[A-Z_]+\]\n/);
    assert.ok(code === 1 || code === 3);
  },
);

test.run();
