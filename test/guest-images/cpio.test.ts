import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CpioMode, cpioArchive } from '../../guest-images/cpio.ts';
import { findTool } from '../../guest-images/find-tool.ts';
import { testUnless } from '../support.ts';

const test = suite('cpioArchive()');

const files = [
  { path: 'bin/program', content: Buffer.from('#!/bin/sh\n'), mode: CpioMode.PROGRAM },
  { path: 'odd', content: Buffer.alloc(4099, 7), mode: CpioMode.FILE },
  { path: 'link', content: Buffer.from('bin/program'), mode: CpioMode.LINK },
  { path: 'empty/deep/file', content: new Uint8Array(0), mode: CpioMode.FILE },
];

test('the same files make the same archive, in whole words', () => {
  const archive = cpioArchive(files);
  assert.ok(archive.equals(cpioArchive(files)));
  assert.is(archive.length % 4, 0);
  assert.is(archive.toString('latin1', 0, 6), '070701');
  assert.ok(archive.includes('TRAILER!!!'));
});

const lacksTool = findTool('cpio') === undefined ? 'cpio is not installed' : undefined;
testUnless(lacksTool, test, 'cpio unpacks it, with the directories that lead to its files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tsvmm-cpio-'));
  try {
    execFileSync('cpio', ['-i', '--quiet'], { cwd: folder, input: cpioArchive(files) });
    assert.is(lstatSync(join(folder, 'bin/program')).mode, CpioMode.PROGRAM);
    assert.ok(readFileSync(join(folder, 'odd')).equals(Buffer.alloc(4099, 7)));
    assert.is(readlinkSync(join(folder, 'link')), 'bin/program');
    assert.is(readFileSync(join(folder, 'empty/deep/file')).length, 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();
