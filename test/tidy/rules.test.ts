import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { productFolders, root, type SourceFile, sourceFiles } from './source-tree.ts';

const MAXIMUM_LINES = 400;
/** Tables of cases make tests longer. */
const MAXIMUM_TEST_LINES = 500;
const endings = ['.ts', '.c', '.h', '.S', '.sh'];
const files = sourceFiles([...productFolders, 'test', 'examples'], [...endings, '.yaml']).filter(
  // This file has to spell out what it forbids.
  ({ path }) => path !== 'test/tidy/rules.test.ts',
);

const lines = (pattern: RegExp, of: readonly SourceFile[]): string[] =>
  of.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
  );

test(`no file is longer than ${MAXIMUM_LINES} lines, no test than ${MAXIMUM_TEST_LINES}`, () => {
  const long = files
    .map(({ path, text }) => ({ path, count: text.split('\n').length - 1 }))
    .filter(({ path, count }) => count > (path.startsWith('test/') ? MAXIMUM_TEST_LINES : MAXIMUM_LINES));
  assert.equal(long, []);
});

test('half of the files are short: the median is at most 128 lines', () => {
  const counts = files.map(({ text }) => text.split('\n').length).sort((a, b) => a - b);
  const median = counts[Math.floor(counts.length / 2)] ?? 0;
  assert.ok(median <= 128, `the median is ${median}`);
});

test('nothing is left to be done later: no TODO, FIXME or XXX', () => {
  assert.equal(lines(/\b(TODO|FIXME|XXX)\b/, files), []);
});

test('no type is given up: no "any" outside of vmm/ffi, and no suppressed check', () => {
  // In tests the linter allows one where its reason is given.
  const product = files.filter(({ path }) => path.endsWith('.ts') && !path.startsWith('test/'));
  const outside = product.filter(({ path }) => !path.startsWith('vmm/ffi/'));
  assert.equal(lines(/(?::|\bas|[<,(|]) *any\b(?! [a-z])/, outside), []);
  assert.equal(lines(/@ts-(ignore|nocheck|expect-error)|biome-ignore/, product), []);
});

test("no path of somebody's machine", () => {
  assert.equal(lines(/["'`\s=](\/work\/|\/home\/[a-z]|\/Users\/|\/root\/\w)/, files), []);
});

test('relative imports end in .ts', () => {
  const typed = files.filter(({ path }) => path.endsWith('.ts'));
  assert.equal(lines(/^(?:import|export)\b.* from '\.[^']*(?<!\.ts)';/, typed), []);
});

test('virtio device folders can be opened blind: each has model.ts and handler.ts', () => {
  const folder = join(root, 'vmm/devices/virtio');
  const devices = readdirSync(folder).filter(name => statSync(join(folder, name)).isDirectory());
  assert.ok(devices.length >= 1);
  for (const device of devices) {
    for (const file of ['model.ts', 'handler.ts'])
      assert.ok(existsSync(join(folder, device, file)), `${device}/${file}`);
  }
});

/** Folders of test/ that stand for no folder of the product. */
const ownTestFolders = ['cluster', 'linux', 'support', 'tidy', 'snapshot/oracle', 'net/support'];

test('tests mirror the tree: the folder of each test exists in the product', () => {
  const astray = sourceFiles(['test'], ['.test.ts'])
    .map(({ path }) => path.slice('test/'.length))
    .filter(path => path.includes('/'))
    .map(path => dirname(path))
    .filter(folder => !ownTestFolders.some(own => folder === own || folder.startsWith(`${own}/`)))
    .filter(folder => !existsSync(join(root, folder)));
  assert.equal([...new Set(astray)], []);
});

test('tests that need the host say so in their names', () => {
  const wrong = sourceFiles(['test'], ['.test.ts'])
    .filter(({ path }) => !path.endsWith('.host.test.ts'))
    .filter(({ text }) => /support\/(guest|bench-image)\.ts'/.test(text))
    .map(({ path }) => path);
  assert.equal(wrong, []);
});

test.run();
