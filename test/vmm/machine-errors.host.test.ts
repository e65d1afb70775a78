import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type ErrorCode, TsvmmError } from '../../vmm/errors.ts';
import { Kvm } from '../../vmm/kvm/kvm.ts';
import type { MachineConfig } from '../../vmm/machine.ts';
import { MIB } from '../../vmm/memory/address.ts';
import { availableMemory } from '../../vmm/memory/ram.ts';
import { benchImage, kvmIsEverybodys, lacksKvm } from '../support/bench-image.ts';
import { buildElf, LOAD_ADDRESS } from '../support/elf.ts';
import { Guest } from '../support/guest.ts';
import { testUnless } from '../support.ts';

/**
 * The promise is a second. Here counts what the processor spends on it, whose greater part is the TypeScript loader of
 * the threads: the machine may be busy with something else, or its processor be emulated and twenty times slower.
 */
const ANSWER_CPU_MS = 60_000;
const test = suite('machine errors');
const directory = mkdtempSync(join(tmpdir(), 'tsvmm-images-'));
test.after(() => rmSync(directory, { recursive: true }));

let files = 0;
function imageFile(content: Uint8Array | string): string {
  const path = join(directory, `image${files++}`);
  writeFileSync(path, content);
  return path;
}

function assertCoded(error: unknown, code: ErrorCode, message: RegExp): void {
  assert.instance(error, TsvmmError);
  const { code: actual, message: text, hint } = error as TsvmmError;
  assert.is(actual, code, text);
  assert.match(text, message);
  assert.ok(hint !== undefined && hint.length > 10, `a hint: ${hint}`);
}

/** Answers how much processor time has gone by since it was made, in ms. */
function stopwatch(): () => number {
  const started = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(started);
    return (user + system) / 1000;
  };
}

async function creationError(config: Partial<MachineConfig>): Promise<unknown> {
  const elapsed_ms = stopwatch();
  try {
    await (await Guest.create(config)).stop();
    return undefined;
  } catch (error) {
    assert.ok(elapsed_ms() < ANSWER_CPU_MS, `${elapsed_ms()} ms`);
    return error;
  }
}

/** How the guest ends; checks that it is quick. */
async function endOf(config: Partial<MachineConfig>): Promise<unknown> {
  const guest = await Guest.create(config);
  try {
    const elapsed_ms = stopwatch();
    guest.machine.start();
    const exit = await guest.exited;
    assert.ok(elapsed_ms() < ANSWER_CPU_MS, `${elapsed_ms()} ms`);
    return exit.kind === 'error' ? exit.error : exit.kind;
  } finally {
    await guest.stop();
  }
}

const invalidImages: Record<string, [content: () => Promise<Uint8Array | string>, message: RegExp]> = {
  'a text file': [
    async () => '#!/bin/sh\necho this is long enough to hold a header of 64 bytes\n',
    /ELF header/,
  ],
  'an empty file': [async () => '', /too short/],
  'a truncated image': [async () => readFileSync(await benchImage()).subarray(0, 5000), /truncated/],
  'an image without PVH note whose entry is in no segment': [
    async () => buildElf({ pvhEntry: null, entry: 0x2000 }),
    /entry/,
  ],
  'a segment beyond RAM': [
    async () => buildElf({ segments: [{ address: 100 * MIB, content: new Uint8Array(16) }] }),
    /no free RAM/,
  ],
  'a segment that ends beyond RAM': [
    async () =>
      buildElf({ segments: [{ address: LOAD_ADDRESS, content: new Uint8Array(16), memorySize: 64 * MIB }] }),
    /no free RAM/,
  ],
  "a segment over the boot protocol's tables": [
    async () => buildElf({ segments: [{ address: 0x6000, content: new Uint8Array(16) }] }),
    /no free RAM/,
  ],
};

for (const [name, [content, message]] of Object.entries(invalidImages)) {
  testUnless(lacksKvm(), test, `Machine.create() refuses ${name}: TSVMM_E_IMAGE_INVALID`, async () => {
    const error = await creationError({ imagePath: imageFile(await content()) });
    assertCoded(error, 'TSVMM_E_IMAGE_INVALID', message);
  });
}

testUnless(lacksKvm(), test, 'Machine.create() without image file: TSVMM_E_IMAGE_NOT_FOUND', async () => {
  const error = await creationError({ imagePath: join(directory, 'none') });
  assertCoded(error, 'TSVMM_E_IMAGE_NOT_FOUND', /cannot read the image/);
});

testUnless(
  lacksKvm(),
  test,
  'Machine.create() with a directory as image: TSVMM_E_IMAGE_INVALID',
  async () => {
    assertCoded(await creationError({ imagePath: directory }), 'TSVMM_E_IMAGE_INVALID', /not a .*file/);
  },
);

testUnless(
  lacksKvm(),
  test,
  'Machine.create() with more memory than the host has: TSVMM_E_MEMORY',
  async () => {
    const memory_bytes = Math.ceil(availableMemory() / (2 * MIB)) * 2 * MIB + 1024 * MIB;
    assertCoded(await creationError({ memory_bytes }), 'TSVMM_E_MEMORY', /MiB/);
  },
);

testUnless(
  lacksKvm(),
  test,
  'Machine.create() with a command line beyond 64 KiB: TSVMM_E_CONFIG',
  async () => {
    assertCoded(await creationError({ cmdline: 'x'.repeat(70_000) }), 'TSVMM_E_CONFIG', /command line/);
  },
);

/** On AMD processors the state of a vCPU is undefined after a shutdown (APM vol. 2, section 15.14.3), and newer KVM resets it. */
const hasSvm = / svm /.test(readFileSync('/proc/cpuinfo', 'utf8'));

testUnless(lacksKvm(), test, 'a guest that triple-faults ends in TSVMM_E_GUEST_CRASH', async () => {
  const error = await endOf({ cmdline: 'fault kind=triple' });
  if (hasSvm && /KVM has reset it/.test(String(error))) {
    assertCoded(error, 'TSVMM_E_GUEST_CRASH', /triple-faulted, vCPU 0/);
    return;
  }
  assertCoded(
    error,
    'TSVMM_E_GUEST_CRASH',
    /triple-faulted.*rip 0x[0-9a-f]+.*instruction bytes: (0f 0b|cc|cd)/,
  );
  const { details } = error as TsvmmError;
  for (const register of ['rip', 'rax', 'r15', 'rflags', 'cr0', 'cr3', 'efer']) {
    assert.match(String(details?.[register]), /^0x/, register);
  }
});

testUnless(lacksKvm(), test, 'an instruction that KVM cannot execute ends in TSVMM_E_EMULATION', async () => {
  const guest = await Guest.create({ cmdline: 'fault kind=unknown' });
  guest.machine.start();
  const exit = await Promise.race([guest.exited, guest.until('survived').then(() => undefined)]);
  await guest.stop();
  // Hardware executes it; a software KVM has no emulation of it.
  if (exit === undefined) return;
  assert.is(exit.kind, 'error');
  if (exit.kind === 'error')
    assertCoded(exit.error, 'TSVMM_E_EMULATION', /cannot execute.*instruction bytes: [0-9a-f]{2}/);
});

testUnless(
  lacksKvm(),
  test,
  'an invalid instruction that the guest handles itself is no error of ours',
  async () => {
    assert.is(await endOf({ cmdline: 'fault kind=ud' }), 'power-off');
  },
);

for (const kind of ['port', 'mmio']) {
  testUnless(lacksKvm(), test, `a guest that touches an unassigned ${kind} address goes on`, async () => {
    const guest = await Guest.boot({ cmdline: `fault kind=${kind}` });
    await guest.until('survived');
    await guest.stop();
  });
}

test('Kvm.open() without the device file: TSVMM_E_KVM_MISSING', () => {
  assertCoded(
    thrownBy(() => Kvm.open('/dev/no-kvm-here')),
    'TSVMM_E_KVM_MISSING',
    /offers no KVM/,
  );
});

test('Kvm.open() of another device: TSVMM_E_KVM_UNFIT', () => {
  assertCoded(
    thrownBy(() => Kvm.open('/dev/null')),
    'TSVMM_E_KVM_UNFIT',
    /not KVM/,
  );
});

const isRoot = process.geteuid?.() === 0;
const lacksOtherUser = isRoot ? (lacksKvm() ?? kvmIsEverybodys()) : 'only root can become another user';
testUnless(lacksOtherUser, test, 'Kvm.open() as a user without permission: TSVMM_E_KVM_PERMISSION', () => {
  process.seteuid?.(65534);
  try {
    assertCoded(
      thrownBy(() => Kvm.open()),
      'TSVMM_E_KVM_PERMISSION',
      /permission/,
    );
  } finally {
    process.seteuid?.(0);
  }
});

function thrownBy(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}

test.run();
