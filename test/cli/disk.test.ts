import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { tsvmm } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'tsvmm-disk-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

test('tsvmm disk: an image goes in, is looked at and comes out again', async () => {
  const image = join(folder, 'image.raw');
  const disk = join(folder, 'disk');
  writeFileSync(image, Buffer.alloc(100_000, 'tsvmm'));
  assert.is((await tsvmm(['disk', 'import', image, disk])).code, 0);
  const info = await tsvmm(['disk', 'info', disk, '--format', 'json']);
  assert.is(info.code, 0);
  assert.is(JSON.parse(info.stdout).size_bytes, 100_352);
  assert.match((await tsvmm(['disk', 'info', disk])).stdout, /LAYER.*\n.*1\.layer +clean/);
  const check = await tsvmm(['disk', 'check', '--data', disk]);
  assert.is(check.code, 0);
  assert.is(check.stdout, '');
  const out = join(folder, 'out.raw');
  assert.is((await tsvmm(['disk', 'export', disk, out])).code, 0);
  assert.is(Buffer.compare(readFileSync(out).subarray(0, 100_000), readFileSync(image)), 0);
  const merge = await tsvmm(['disk', 'merge', disk]);
  assert.is(merge.code, 2);
  assert.match(merge.stderr, /^error: layers 0 to 0 of 1 cannot be merged \[TSVMM_E_USAGE\]\nhint: /);
});

test('tsvmm disk: exit codes tell what is wrong', async () => {
  const disk = join(folder, 'new');
  assert.is((await tsvmm(['disk', 'create', disk, '--size', '8MiB'])).code, 0);
  const cases: [string[], number][] = [
    [['create', disk, '--size', '8MiB'], 5],
    [['create', join(folder, 'x')], 2],
    [['create', join(folder, 'x'), '--size', 'much'], 2],
    [['info', join(folder, 'missing')], 4],
    [['export', disk, join(folder, 'y'), '--layers', 'x'], 2],
  ];
  for (const [words, code] of cases) assert.is((await tsvmm(['disk', ...words])).code, code, words.join(' '));
  writeFileSync(join(disk, '1.layer'), 'damaged');
  const check = await tsvmm(['disk', 'check', disk]);
  assert.is(check.code, 7);
  assert.match(check.stdout, /1\.layer: not a layer file/);
});

test.run();
