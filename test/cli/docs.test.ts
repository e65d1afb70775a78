import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { limits } from '../../cli/config/limits.ts';
import { parseCluster } from '../../cli/config/load.ts';
import { clusterFile } from '../../cli/config/schema.ts';
import { verbs } from '../../cli/verbs.ts';
import { exitCodes } from '../../vmm/errors.ts';

const root = join(import.meta.dirname, '../..');
const page = (name: string) => readFileSync(join(root, name), 'utf8');

test('docs/cli.md: has every verb and every exit code', () => {
  const text = page('docs/cli.md');
  for (const verb of Object.keys(verbs)) assert.match(text, new RegExp(`^\\| .*\`${verb}[ \`]`, 'm'), verb);
  for (const code of Object.values(exitCodes))
    assert.match(text, new RegExp(`^\\| ${code}[ ,]`, 'm'), `${code}`);
});

/** Keys of the schema's objects, wherever they are nested. */
function keysOf(schema: unknown, into = new Set<string>()): Set<string> {
  if (typeof schema !== 'object' || schema === null) return into;
  const { entries, wrapped, item, value, pipe, getter } = schema as Record<string, unknown>;
  if (typeof getter === 'function') keysOf(getter({}), into);
  if (typeof entries === 'object' && entries !== null) {
    for (const [key, child] of Object.entries(entries)) {
      into.add(key);
      keysOf(child, into);
    }
  }
  for (const child of [wrapped, item, value, ...(Array.isArray(pipe) ? pipe : [])]) {
    if (child !== schema) keysOf(child, into);
  }
  return into;
}

test('docs/cluster-file.md: has every key and the bounds', () => {
  const text = page('docs/cluster-file.md');
  const keys = keysOf(clusterFile);
  assert.ok(keys.size > 20, [...keys].join(' '));
  for (const key of keys) assert.match(text, new RegExp(`\`${key}\``), key);
  for (const bound of [
    limits.vms,
    limits.networks,
    limits.nameLength,
    limits.vcpus,
    limits.args,
    limits.delay_ms,
    limits.mtu.minimum,
    limits.mtu.maximum,
    limits.tapMtu,
  ])
    assert.match(text, new RegExp(`\\b${bound}\\b`), `${bound}`);
});

test('docs/cluster-file.md: its example is in order', () => {
  const example = /```yaml\n([^`]*)```/.exec(page('docs/cluster-file.md'))?.[1] ?? '';
  assert.is(parseCluster('/nowhere/example.yaml', example).vms.length, 2);
});

test('links between the documents lead somewhere', () => {
  for (const name of [
    'README.md',
    'ARCHITECTURE.md',
    'CONTRIBUTING.md',
    'docs/cli.md',
    'docs/cluster-file.md',
  ]) {
    for (const [, target = ''] of page(name).matchAll(/\]\(([^)#]+)[^)]*\)/g)) {
      if (!target.startsWith('http'))
        assert.ok(existsSync(join(root, dirname(name), target)), `${name}: ${target}`);
    }
  }
});

test('README.md: justifies each runtime dependency', () => {
  const { dependencies } = JSON.parse(page('package.json')) as { dependencies: Record<string, string> };
  for (const name of Object.keys(dependencies))
    assert.match(page('README.md'), new RegExp(`^\\| \\[${name}\\]`, 'm'), name);
});

test.run();
