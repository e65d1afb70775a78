/** Instructions of kernel code that a KVM in software does not know, in a guest: where KVM is real, the CPU executes them. */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hostKind } from '../../../vmm/kvm/host-kind.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { lacksCompiler } from '../../support/c-program.ts';
import { Guest } from '../../support/guest.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { testUnless } from '../../support.ts';
import { assembleKernelGuest } from './support/kernel-guest.ts';

const test = suite('completion');
const obstacle = lacksKvm() ?? lacksCompiler();
const inSoftware = hostKind() === 'software';

async function withKernel(
  options: { readonly strange?: boolean },
  body: (guest: Guest) => Promise<void>,
): Promise<void> {
  const path = join(temporaryFolder(), 'guest.elf');
  assembleKernelGuest(path, options);
  const guest = await Guest.create({ imagePath: path, cmdline: 'console=ttyS0', firmwareTables: true });
  try {
    guest.machine.start();
    await body(guest);
  } finally {
    await guest.stop();
  }
}

const stats = (guest: Guest): string[] =>
  guest.events.filter(({ event }) => event === 'fatal').map(({ why }) => String(why));

testUnless(obstacle, test, 'kernel code runs through all of them, and faults where it should', () =>
  withKernel({}, async guest => {
    await guest.until('stat', 3);
    assert.equal(stats(guest), []);
    const completed = guest.machine.stats.vcpus[0]?.emulatedInstructions ?? 0;
    if (inSoftware) assert.ok(completed > 0, `${completed} completed`);
    else assert.is(completed, 0);
  }),
);

testUnless(obstacle, test, 'a guest that is paused in between loses and repeats none', () =>
  withKernel({}, async guest => {
    for (let pause = 0; pause < 20; pause++) {
      await guest.machine.pause();
      guest.machine.resume();
    }
    await guest.until('stat', 2);
    assert.equal(stats(guest), []);
  }),
);

const onlyHere = obstacle ?? (inSoftware ? undefined : 'KVM executes every instruction here');
testUnless(onlyHere, test, 'one that nobody knows ends the VM, and is named', () =>
  withKernel({ strange: true }, async guest => {
    const exit = await guest.exited;
    assert.is(exit.kind, 'error');
    if (exit.kind === 'error') {
      assert.is(exit.error.code, 'TSVMM_E_EMULATION');
      assert.match(exit.error.message, /rip 0x2[0-9a-f]+.*c5 fd fe c0/);
    }
    assert.equal(stats(guest), []);
  }),
);

test.run();
