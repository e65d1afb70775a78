import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacksKvm } from '../../support/bench-image.ts';
import { testUnless } from '../../support.ts';

process.env.TSVMM_FFI = 'ffi-rs';
const { backend } = await import('../../../vmm/ffi/index.ts');
const { withGuest } = await import('../../support/guest.ts');

const test = suite('VM by ffi-rs');

testUnless(
  lacksKvm(),
  test,
  'a VM boots to its first console lines, stops and resumes by ffi-rs',
  async () => {
    assert.is(backend.name, 'ffi-rs');
    await withGuest({ cmdline: 'idle stat=50', vcpus: 2 }, async guest => {
      await guest.until('stat', 1);
      await guest.machine.pause();
      assert.is(guest.machine.state, 'paused');
      const seen = guest.events.length;
      guest.machine.resume();
      await guest.until('stat', seen + 1);
    });
  },
);

test.run();
