import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writeResetVector } from '../../../vmm/boot/reset-vector.ts';
import type { Vcpu } from '../../../vmm/kvm/vcpu.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { Guest } from '../../support/guest.ts';
import { testUnless } from '../../support.ts';

const test = suite('reset vector');

testUnless(lacksKvm(), test, 'who goes to F000:FFF0 in real mode resets the machine', async () => {
  const guest = await Guest.create({
    restored: {
      install: ({ memory, vcpus }) => {
        writeResetVector(memory);
        const [vcpu] = vcpus as [Vcpu];
        // As KVM leaves a vCPU that has not run, but for the base: with firmware, the last 64 KiB below 4 GiB are there too.
        const sregs = vcpu.get('sregs');
        sregs.cs.base = 0xf0000n;
        vcpu.set('sregs', sregs);
      },
    },
  });
  try {
    guest.machine.start();
    assert.is((await guest.exited).kind, 'reset');
  } finally {
    await guest.stop();
  }
});

test.run();
