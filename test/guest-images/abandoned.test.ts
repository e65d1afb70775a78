import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { removeAbandoned } from '../../guest-images/abandoned.ts';
import { temporaryFolder } from '../support/temporary.ts';

test('removeAbandoned: what processes that are gone left is removed, and nothing else', () => {
  const folder = temporaryFolder();
  const kept = [`.work-${process.pid}-x`, 'lwip', '.hidden', 'work-999999999-x'];
  const left = ['.work-999999999-x', '.fetch-999999999-x', '.build-999999999-x/root'];
  for (const name of [...kept, ...left]) mkdirSync(join(folder, name), { recursive: true });
  removeAbandoned(folder);
  assert.equal(readdirSync(folder).sort(), [...kept].sort());
  removeAbandoned(join(folder, 'nothing'));
});

test.run();
