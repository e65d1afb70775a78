/** Code at CPL0 that writes protected pages: on hardware it faults as any other, a software KVM emulates it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CowMechanismName } from '../../../snapshot/cow/mechanism.ts';
import { gpa, MIB, PAGE_SIZE } from '../../../vmm/memory/address.ts';
import { lacksKvm } from '../../support/bench-image.ts';
import { buildElf, LOAD_ADDRESS } from '../../support/elf.ts';
import { Guest } from '../../support/guest.ts';
import { SnapshotRig } from '../../support/snapshots.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { testUnless } from '../../support.ts';

const test = suite('CPL0 and protected RAM');
const rig = new SnapshotRig();
test.after(() => rig.stop());

/** Counts in ecx and, in four ways, in four pages; triple-faults (no IDT) when one of them lost a step. */
const COUNTERS = 0x300000;
const counting = new Uint8Array([
  ...[0xbf, 0x00, 0x00, 0x30, 0x00], // mov edi, COUNTERS
  ...[0x31, 0xc9], // xor ecx, ecx
  0x41, // next: inc ecx
  ...[0xf0, 0xff, 0x07], // lock inc dword [edi]
  ...[0x39, 0x0f, 0x75, 0x29], // cmp [edi], ecx; jne lost
  ...[0x8d, 0x41, 0xff], // lea eax, [ecx - 1]
  ...[0xf0, 0x0f, 0xb1, 0x8f, 0x00, 0x10, 0x00, 0x00], // lock cmpxchg [edi + 4096], ecx
  ...[0x75, 0x1c], // jne lost
  ...[0x89, 0xc2, 0x89, 0xcb], // mov edx, eax; mov ebx, ecx
  ...[0xf0, 0x0f, 0xc7, 0x8f, 0x00, 0x30, 0x00, 0x00], // lock cmpxchg8b [edi + 12288]
  ...[0x75, 0x0e], // jne lost
  ...[0xff, 0x87, 0x00, 0x20, 0x00, 0x00], // inc dword [edi + 8192]
  ...[0x39, 0x8f, 0x00, 0x20, 0x00, 0x00], // cmp [edi + 8192], ecx
  ...[0x74, 0xcf], // je next
  ...[0x0f, 0x0b], // lost: ud2
]);

for (const cow of ['mprotect', 'userfaultfd'] satisfies CowMechanismName[]) {
  testUnless(
    lacksKvm(),
    test,
    `${cow}: stores and locked operations of kernel code lose nothing`,
    async () => {
      const imagePath = join(temporaryFolder(), 'counting.elf');
      writeFileSync(imagePath, buildElf({ segments: [{ address: LOAD_ADDRESS, content: counting }] }));
      const guest = await Guest.create({ imagePath, memory_bytes: 16 * MIB });
      const counts = () =>
        [0, 1, 2, 3].map(page => guest.machine.memory.readU32(gpa(COUNTERS + page * PAGE_SIZE)));
      try {
        guest.machine.start();
        for (let round = 0; round < 3; round++) {
          const { folder, report } = await rig.take(guest.machine, { cow, chunkSize: PAGE_SIZE });
          assert.is(report.fallbacks, 0);
          const before = counts()[0] as number;
          while (counts().some(count => count < before + 100)) {
            const exit = await Promise.race([guest.exited, setTimeout(5)]);
            assert.is(exit, undefined, `the guest has ended: ${JSON.stringify(exit)}`);
          }
          assert.ok(folder);
        }
      } finally {
        await guest.stop();
      }
    },
  );
}

test.run();
