import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BootInformation } from '../../../vmm/boot/boot.ts';
import { memoryMap } from '../../../vmm/boot/memory-map.ts';
import { bootByPvh, hvmMemmapTableEntry, hvmModlistEntry, hvmStartInfo } from '../../../vmm/boot/pvh.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import { gpa, MIB } from '../../../vmm/memory/address.ts';
import { recordingVcpu } from '../../support/recording-vcpu.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { FakeGuest } from '../../support/virtio-driver.ts';

const test = suite<{ guest: FakeGuest }>('PVH');
test.before.each(context => {
  context.guest = new FakeGuest(4 * MIB);
});
test.after.each(({ guest }) => guest.free());

const boot = (guest: FakeGuest, { entry, ...information }: { entry: number } & BootInformation) =>
  bootByPvh(guest.memory, { pvhEntry: entry, end: 2 * MIB }, information);

function startInfo(guest: FakeGuest, information: BootInformation) {
  const cpu = recordingVcpu();
  boot(guest, { entry: 0x100200, ...information }).setUp(cpu.vcpu);
  return hvmStartInfo.at(guest.bytes(gpa(Number(cpu.regs().rbx)), hvmStartInfo.size).buffer);
}

test('bootByPvh(): start info, command line and memory map are where the registers say', ({ guest }) => {
  const cpu = recordingVcpu();
  boot(guest, { entry: 0x100200, cmdline: 'grüße vcpus=2' }).setUp(cpu.vcpu);
  assert.is(cpu.regs().rip, 0x100200n);
  const bytes = (at: number, length: number) => guest.bytes(gpa(at), length);
  const info = hvmStartInfo.at(bytes(Number(cpu.regs().rbx), hvmStartInfo.size).buffer);
  assert.is(info.magic, 0x336ec578);
  assert.is(info.version, 1);
  const text = Buffer.from(bytes(info.cmdline_paddr, 64));
  assert.is(text.subarray(0, text.indexOf(0)).toString(), 'grüße vcpus=2');
  const expected = memoryMap(4 * MIB);
  assert.is(info.memmap_entries, expected.length);
  const table = bytes(info.memmap_paddr, expected.length * hvmMemmapTableEntry.size).buffer;
  const rows = expected.map((_, i) => hvmMemmapTableEntry.at(table, i * hvmMemmapTableEntry.size));
  assert.equal(
    rows.map(({ addr, size, type }) => ({ start: addr, length: size, type })),
    expected,
  );
});

test('bootByPvh(): 32-bit protected mode, flat, without paging and interrupts', ({ guest }) => {
  const cpu = recordingVcpu();
  boot(guest, { entry: 0x100000, cmdline: '' }).setUp(cpu.vcpu);
  const sregs = cpu.sregs();
  assert.equal([sregs.cr0, sregs.cr4, sregs.efer], [0x11n, 0n, 0n]);
  assert.is(cpu.regs().rflags, 2n);
  for (const segment of [sregs.cs, sregs.ds, sregs.es, sregs.ss]) {
    assert.equal(
      [segment.base, segment.limit, segment.db, segment.l, segment.g, segment.present],
      [0n, 0xffffffff, 1, 0, 1, 1],
    );
  }
});

test('bootByPvh(): an initial RAM disk is the one module, whole, behind the kernel', ({ guest }) => {
  const content = new Uint8Array(10_000).map((_, i) => i % 253);
  const initrdPath = join(temporaryFolder(), 'initrd');
  writeFileSync(initrdPath, content);
  const info = startInfo(guest, { cmdline: '', initrdPath });
  assert.is(info.nr_modules, 1);
  const module = hvmModlistEntry.at(guest.bytes(gpa(info.modlist_paddr), hvmModlistEntry.size).buffer);
  assert.equal([module.size, module.cmdline_paddr], [content.length, 0]);
  assert.ok(module.paddr >= 2 * MIB && module.paddr % 4096 === 0);
  assert.equal(guest.bytes(gpa(module.paddr), content.length), content);
  assert.equal([startInfo(guest, { cmdline: '' }).nr_modules, info.rsdp_paddr], [0, 0]);
});

for (const [kernel, rsdp, longest] of [
  ['an image of ours', 0, 65_534],
  ['a kernel that gets tables, hence Linux', 0xe0000, 2047],
] as const)
  test(`bootByPvh(): ${kernel} is not given more of a command line than it takes`, ({ guest }) => {
    assert.is(startInfo(guest, { cmdline: 'x'.repeat(longest), rsdp }).rsdp_paddr, rsdp);
    assert.throws(
      () => startInfo(guest, { cmdline: 'x'.repeat(longest + 1), rsdp }),
      (error: unknown) => error instanceof TsvmmError && error.code === 'TSVMM_E_CONFIG',
    );
  });

test.run();
