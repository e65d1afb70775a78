import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chooseMechanism } from '../../../snapshot/cow/choose.ts';

test('chooseMechanism(): mprotect, but for kernels of others on a KVM that works in software', () => {
  assert.equal(
    (['vmx', 'svm', 'software'] as const).map(host => [
      chooseMechanism(host, false),
      chooseMechanism(host, true),
    ]),
    [
      ['mprotect', 'mprotect'],
      ['mprotect', 'mprotect'],
      ['mprotect', 'userfaultfd'],
    ],
  );
});

test.run();
