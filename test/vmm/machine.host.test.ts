import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Vcpu } from '../../vmm/kvm/vcpu.ts';
import { GIB, gpa, MIB } from '../../vmm/memory/address.ts';
import type { GuestMemory } from '../../vmm/memory/guest-memory.ts';
import { HOLE_END } from '../../vmm/memory/layout.ts';
import { VcpuHandle } from '../../vmm/vcpu/vcpu-handle.ts';
import { lacksKvm } from '../support/bench-image.ts';
import { buildElf, LOAD_ADDRESS } from '../support/elf.ts';
import { Guest, withGuest } from '../support/guest.ts';
import { processResources } from '../support/process-resources.ts';
import { testUnless } from '../support.ts';

const test = suite('Machine');
const directory = mkdtempSync(join(tmpdir(), 'tsvmm-machine-'));
test.after(() => rmSync(directory, { recursive: true }));

testUnless(lacksKvm(), test, 'boots the bench guest, which reports what it was given', async () => {
  await withGuest({ cmdline: 'idle vm=alice stat=50' }, async guest => {
    const ready = await guest.until('ready');
    assert.equal([ready.vm, ready.vcpus, ready.workloads], ['alice', 1, ['idle']]);
    await guest.until('stat', 2);
    assert.is(guest.machine.state, 'running');
  });
});

for (const vcpus of [2, 4]) {
  testUnless(lacksKvm(), test, `${vcpus} vCPUs start and compute without an error`, async () => {
    await withGuest({ vcpus, cmdline: `cpu vcpus=${vcpus} stat=100` }, async guest => {
      assert.is((await guest.until('ready')).vcpus, vcpus);
      const stat = await guest.until('stat', 2);
      assert.ok(Number(stat.ops) > 0);
      assert.is(stat.errors, 0);
    });
  });
}

for (const memory_bytes of [16 * MIB, 22 * MIB, 130 * MIB, GIB, 3 * GIB, 3 * GIB + 2 * MIB]) {
  testUnless(lacksKvm(), test, `boots with ${memory_bytes / MIB} MiB of memory`, async () => {
    await withGuest({ memory_bytes }, async guest => {
      const { memory_bytes: seen } = await guest.until('ready');
      // The guest does not count what is reserved below 1 MiB.
      assert.ok(Number(seen) > memory_bytes - MIB && Number(seen) <= memory_bytes, `${seen}`);
    });
  });
}

/** The first address of [start, start + length) in whose page something stands, at a distance of 1 MiB each. */
function findWritten(memory: GuestMemory, start: number, length: number): number | undefined {
  const page = new Uint8Array(4096);
  for (let at = start; at < start + length; at += MIB) {
    memory.copyOut(gpa(at), page);
    if (page.some(byte => byte !== 0)) return at;
  }
  return undefined;
}

testUnless(lacksKvm(), test, 'a guest of 5 GiB works in its memory above 4 GiB', async () => {
  // The last of four vCPUs writes the last quarter of the area, which lies above the hole.
  const cmdline = 'dirty size=4G vcpus=4 stat=100';
  await withGuest({ memory_bytes: 5 * GIB, vcpus: 4, cmdline }, async guest => {
    while (findWritten(guest.machine.memory, HOLE_END, 2 * GIB) === undefined)
      await guest.until('stat', guest.events.length);
    const stat = await guest.until('stat', 3);
    assert.is(stat.errors, 0);
  });
});

testUnless(
  lacksKvm(),
  test,
  'pause() and resume() are idempotent, and harmless in any other state',
  async () => {
    const guest = await Guest.create({ cmdline: 'idle stat=20' });
    const { machine } = guest;
    await machine.pause();
    machine.resume();
    assert.is(machine.state, 'created');
    machine.start();
    machine.start();
    await guest.until('stat');
    machine.resume();
    await Promise.all([machine.pause(), machine.pause()]);
    await machine.pause();
    assert.is(machine.state, 'paused');
    const silent = guest.events.length;
    await delay(100);
    assert.ok(guest.events.length <= silent + 1, 'a paused guest says nothing (but for what was on its way)');
    machine.resume();
    machine.resume();
    assert.is(machine.state, 'running');
    await guest.until('stat', silent + 2);
    await guest.stop();
    await machine.pause();
    machine.resume();
    machine.start();
    assert.is(machine.state, 'stopped');
  },
);

const MSR_SYSTEM_TIME = 0x4b564d01;
/** Of struct pvclock_vcpu_time_info (Linux, Documentation/virt/kvm/x86/msr.rst). */
const CLOCK_FLAGS_OFFSET = 29;
const CLOCK_GUEST_STOPPED = 2;

testUnless(lacksKvm(), test, 'a guest is told that it was paused, or its watchdogs would bark', async () => {
  await withGuest({ cmdline: 'idle stat=20' }, async guest => {
    const { machine } = guest;
    await guest.until('stat');
    await machine.pause();
    const [msr] = (machine.vcpus[0] as Vcpu).getMsrs([MSR_SYSTEM_TIME]);
    const flags = new Uint8Array(1);
    const isTold = () => {
      machine.memory.copyOut(gpa(Number(msr?.data) - 1 + CLOCK_FLAGS_OFFSET), flags);
      return ((flags[0] as number) & CLOCK_GUEST_STOPPED) !== 0;
    };
    assert.not.ok(isTold());
    const seen = guest.events.length;
    machine.resume();
    await guest.until('stat', seen + 2);
    assert.ok(isTold());
  });
});

testUnless(lacksKvm(), test, 'a guest of several vCPUs survives 200 pauses while it computes', async () => {
  await withGuest({ vcpus: 2, cmdline: 'cpu vcpus=2 stat=50' }, async guest => {
    for (let i = 0; i < 200; i++) {
      await guest.machine.pause();
      guest.machine.resume();
      if (i % 20 === 0) await delay(1);
    }
    const { errors } = await guest.until('stat', guest.events.length);
    assert.is(errors, 0);
  });
});

testUnless(lacksKvm(), test, 'entropy: the guest asks as fast as it can and finds no fault', async () => {
  await withGuest({ cmdline: 'rng rate=0 stat=100' }, async guest => {
    const stat = await guest.until('stat', 5);
    assert.ok(Number(stat.ops) > 100, `${stat.ops} requests`);
    assert.is(stat.errors, 0);
  });
});

/** Reads the console and writes it back: waits for LSR's data bit, then in al, out al. */
const ECHO = new Uint8Array([
  ...[0x66, 0xba, 0xfd, 0x03], // mov dx, 0x3fd
  ...[0xec, 0xa8, 0x01, 0x74, 0xfb], // wait: in al, dx; test al, 1; jz wait
  ...[0x66, 0xba, 0xf8, 0x03], // mov dx, 0x3f8
  ...[0xec, 0xee, 0xeb, 0xef], // in al, dx; out dx, al; jmp start
]);

testUnless(lacksKvm(), test, 'consoleInput() reaches the guest whole, however much it is', async () => {
  const imagePath = join(directory, 'echo');
  writeFileSync(imagePath, buildElf({ segments: [{ address: LOAD_ADDRESS, content: ECHO }] }));
  const guest = await Guest.create({ imagePath });
  guest.machine.start();
  const typed = Array.from({ length: 800 }, (_, i) => `line ${i}\n`).join('');
  let taken = true;
  guest.machine.on('inputTaken', () => {
    taken = true;
  });
  for (let at = 0; at < typed.length; at += 1000) {
    taken = guest.machine.consoleInput(new TextEncoder().encode(typed.slice(at, at + 1000)));
  }
  while (!taken) await delay(20);
  while (guest.console.length < typed.length) await delay(20);
  assert.is(guest.console, typed);
  await guest.stop();
});

const ends: Record<string, () => Promise<Guest>> = {
  'that never ran': () => Guest.create(),
  'that runs': () => Guest.boot(),
  'that has only just been started': async () => {
    const guest = await Guest.create({ threads: [new VcpuHandle()] });
    guest.machine.start();
    return guest;
  },
  'that is paused': async () => {
    const guest = await Guest.boot({ cmdline: 'spin' });
    await guest.machine.pause();
    return guest;
  },
  'that powered itself off': async () => {
    const guest = await Guest.boot({ cmdline: 'fault kind=ud' });
    await guest.exited;
    return guest;
  },
  'that crashed': async () => {
    const guest = await Guest.boot({ vcpus: 2, cmdline: 'fault kind=triple vcpus=2' });
    await guest.exited;
    return guest;
  },
};

for (const [state, reach] of Object.entries(ends)) {
  testUnless(lacksKvm(), test, `stop() of a machine ${state} gives everything back`, async () => {
    await (await reach()).stop();
    const before = processResources();
    for (let round = 0; round < 2; round++) {
      const guest = await reach();
      await Promise.all([guest.machine.stop(), guest.machine.stop()]);
      await guest.stop();
    }
    assert.equal(processResources(), before);
  });
}

testUnless(lacksKvm(), test, 'create() that fails gives everything back', async () => {
  const fail = async () => {
    const guest = await Guest.create({ imagePath: '/dev/null', vcpus: 2 }).catch(() => undefined);
    assert.is(guest, undefined);
  };
  await fail();
  const before = processResources();
  for (let round = 0; round < 5; round++) await fail();
  assert.equal(processResources(), before);
});

testUnless(lacksKvm(), test, 'twenty machines in a row leave nothing behind', async () => {
  await (await Guest.boot()).stop();
  const before = processResources();
  for (let round = 0; round < 20; round++) await (await Guest.boot()).stop();
  assert.equal(processResources(), before);
});

test.run();
