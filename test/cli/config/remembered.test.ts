import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCluster } from '../../../cli/config/load.ts';
import { recall, remember } from '../../../cli/config/remembered.ts';
import type { TsvmmError } from '../../../vmm/errors.ts';

const test = suite('remembered cluster files', { home: '' });
test.before.each(context => {
  context.home = mkdtempSync(join(tmpdir(), 'tsvmm-remember-'));
  process.env.TSVMM_HOME = context.home;
});
test.after.each(({ home }) => rmSync(home, { recursive: true }));

const files = (home: string) => readdirSync(join(home, 'cache/cluster-files'));
const text = 'vms: { a: { nets: [{ network: n, loss: 1% }], args: [1, x] }, b: }\nnetworks: { n: }\n';

test('parseCluster with remember: the second time it gives the same without parsing', ({ home }) => {
  const first = parseCluster('/x/c.yaml', text, { remember: true });
  assert.is(files(home).length, 1);
  assert.ok(recall(text));
  assert.equal(parseCluster('/x/c.yaml', text, { remember: true }), first);
  assert.equal(parseCluster('/x/c.yaml', text), first);
});

test('parseCluster with remember: only files that are in order are remembered', () => {
  const bad = 'vms: { a: { vcpus: 0 } }';
  assert.throws(() => parseCluster('/x/c.yaml', bad, { remember: true }));
  assert.is(recall(bad), undefined);
});

test('parseCluster with remember: a problem that came up since is reported where it stands', ({ home }) => {
  const kernel = join(home, 'kernel');
  writeFileSync(kernel, '');
  const file = `vms:\n  a: { kernel: ${kernel} }\n`;
  parseCluster('/x/c.yaml', file, { remember: true });
  rmSync(kernel);
  assert.throws(
    () => parseCluster('/x/c.yaml', file, { remember: true }),
    (error: TsvmmError) => /^\/x\/c\.yaml:2:16: there is no file/.test(error.message),
  );
});

test('recall: the text itself decides, and a damaged file is none', ({ home }) => {
  remember(text, { vms: {} });
  const [name] = files(home);
  const path = join(home, 'cache/cluster-files', name as string);
  for (const content of ['', '{', '{"format":1,"text":"other","value":5}', '{"format":0}']) {
    writeFileSync(path, content);
    assert.is(recall(text), undefined, content);
  }
});

test('remember: keeps a bounded number, and no large ones', ({ home }) => {
  for (let i = 0; i < 250; i++) remember(`text ${i}`, i);
  assert.ok(files(home).length <= 100);
  assert.equal(recall('text 249'), { value: 249 });
  remember('x'.repeat(70_000), 1);
  assert.is(recall('x'.repeat(70_000)), undefined);
  assert.equal(readdirSync(join(home, 'cache')), ['cluster-files']);
});

test('remember: where it cannot write it does nothing', ({ home }) => {
  writeFileSync(join(home, 'cache'), '');
  remember(text, 1);
  assert.is(recall(text), undefined);
});

test.run();
