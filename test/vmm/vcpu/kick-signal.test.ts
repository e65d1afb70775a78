import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('kick signal');

test('kickThread(): harmless from the first on, in a process where no machine was started', () => {
  const module = (path: string) => JSON.stringify(join(import.meta.dirname, '../../../vmm', path));
  const script = `
    import { gettid } from ${module('ffi/libc.ts')};
    import { kickThread } from ${module('vcpu/kick.ts')};
    console.log(kickThread(gettid()));`;
  const words = ['--import', 'tsx', '--input-type=module', '-e', script];
  const { signal, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  assert.is(signal, null, stderr);
  assert.is(stdout, 'true\n', stderr);
});

test.run();
