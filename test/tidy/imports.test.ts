import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { importsOf, loadedWith, productFolders, root, sourceFiles } from './source-tree.ts';

/** Which folders the files of a folder may import from (ARCHITECTURE.md, "Arrows"). */
const arrows: Record<(typeof productFolders)[number], readonly string[]> = {
  vmm: ['vmm'],
  net: ['net', 'vmm'],
  snapshot: ['snapshot', 'vmm'],
  'guest-images': ['guest-images', 'vmm/errors.ts'],
  cli: ['cli', 'snapshot', 'net', 'guest-images', 'vmm'],
};

const files = sourceFiles(productFolders, ['.ts']);
const isLocal = (target: string) => productFolders.some(folder => target.startsWith(`${folder}/`));

test('the import graph is read whole: hundreds of imports, each of a file that exists', () => {
  const targets = files.flatMap(importsOf).filter(({ target }) => isLocal(target));
  assert.ok(targets.length > 300, `${targets.length} imports`);
  const missing = targets.filter(({ target }) => !existsSync(join(root, target)));
  assert.equal(missing, []);
});

test('imports follow the arrows: cli -> snapshot -> vmm, cli -> net -> vmm, and no others', () => {
  const wrong = files.flatMap(file => {
    const allowed = arrows[file.path.split('/')[0] as keyof typeof arrows];
    return importsOf(file)
      .filter(({ target }) => isLocal(target) || target.startsWith('test/'))
      .filter(({ target }) => !allowed.some(path => target === path || target.startsWith(`${path}/`)))
      .map(({ target }) => `${file.path} imports ${target}`);
  });
  assert.equal(wrong, []);
});

test('no circular imports', () => {
  const graph = new Map(files.map(file => [file.path, loadedWith(file)]));
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      circles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
      return;
    }
    if (done.has(path)) return;
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  assert.equal(circles, []);
});

test('only vmm/ffi imports an FFI package', () => {
  const wrong = sourceFiles([...productFolders, 'test'], ['.ts'])
    .filter(({ path }) => !path.startsWith('vmm/ffi/'))
    .filter(file => importsOf(file).some(({ target }) => target === 'koffi' || target === 'ffi-rs'))
    .map(({ path }) => path);
  assert.equal(wrong, []);
});

test('every package that is imported is declared, and none is declared in vain', async () => {
  const { default: manifest } = await import(join(root, 'package.json'), { with: { type: 'json' } });
  const packageName = (target: string) =>
    target
      .split('/')
      .slice(0, target.startsWith('@') ? 2 : 1)
      .join('/');
  const imported = new Set(
    files
      .flatMap(importsOf)
      .map(({ target }) => target)
      .filter(target => !isLocal(target) && !target.startsWith('node:') && !target.includes('tsx/'))
      .map(packageName),
  );
  assert.equal([...imported].sort(), Object.keys(manifest.dependencies).sort());
});

test.run();
