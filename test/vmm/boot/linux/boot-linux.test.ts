import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type BootInformation, load } from '../../../../vmm/boot/boot.ts';
import { bootParams } from '../../../../vmm/boot/linux/boot-params.ts';
import { SEED_BYTES, SETUP_RNG_SEED, setupData } from '../../../../vmm/boot/linux/setup-data.ts';
import { memoryMap } from '../../../../vmm/boot/memory-map.ts';
import { TsvmmError } from '../../../../vmm/errors.ts';
import { gpa, MIB } from '../../../../vmm/memory/address.ts';
import { type BzImageSpec, buildBzImage } from '../../../support/bzimage.ts';
import { buildElf, LOAD_ADDRESS } from '../../../support/elf.ts';
import { recordingVcpu } from '../../../support/recording-vcpu.ts';
import { FakeGuest } from '../../../support/virtio-driver.ts';

const test = suite<{ guest: FakeGuest }>('Linux boot protocol');
const directory = mkdtempSync(join(tmpdir(), 'tsvmm-boot-'));
test.before.each(context => {
  context.guest = new FakeGuest(8 * MIB);
});
test.after.each(({ guest }) => guest.free());
test.after(() => rmSync(directory, { recursive: true }));

function file(name: string, content: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

async function boot(guest: FakeGuest, image: Uint8Array, information: Partial<BootInformation> = {}) {
  const cpu = recordingVcpu();
  const path = file('kernel', image);
  (await load(path, guest.memory, { cmdline: '', ...information })).setUp(cpu.vcpu);
  const zeroPage = bootParams.at(guest.bytes(gpa(Number(cpu.regs().rsi)), bootParams.size).buffer);
  return { regs: cpu.regs(), sregs: cpu.sregs(), zeroPage };
}

async function refused(guest: FakeGuest, image: Uint8Array, why: RegExp, information = {}): Promise<void> {
  const error = await boot(guest, image, information).catch(error => error);
  assert.instance(error, TsvmmError);
  assert.match(error.message, why);
  assert.ok(['TSVMM_E_IMAGE_INVALID', 'TSVMM_E_CONFIG'].includes(error.code));
}

test('bzImage: its protected-mode part lies at the preferred address, entered 0x200 behind', async ({
  guest,
}) => {
  const code = new Uint8Array(0x600).map((_, i) => i % 251);
  const { regs } = await boot(guest, buildBzImage({ code, setupSectors: 3, prefAddress: 0x400000 }));
  assert.is(regs.rip, 0x400200n);
  assert.equal(guest.bytes(gpa(0x400000), code.length), code);
});

test('bzImage: the zero page has the kernel header, and what the boot loader is to fill in', async ({
  guest,
}) => {
  const cmdline = 'console=ttyS0 quiet';
  const { zeroPage } = await boot(guest, buildBzImage({ initSize: 0x1234 }), { cmdline, rsdp: 0xe0000 });
  const { hdr } = zeroPage;
  assert.equal([hdr.boot_flag, hdr.header, hdr.version], [0xaa55, 0x53726448, 0x20f]);
  assert.equal([hdr.type_of_loader, hdr.loadflags & 1, hdr.init_size], [0xff, 1, 0x1234]);
  assert.is(zeroPage.acpi_rsdp_addr, 0xe0000);
  assert.is(zeroPage.sentinel, 0);
  assert.equal([hdr.ramdisk_image, hdr.ramdisk_size], [0, 0]);
  const text = Buffer.from(guest.bytes(gpa(hdr.cmd_line_ptr), 64));
  assert.is(text.subarray(0, text.indexOf(0)).toString(), cmdline);
});

test('the setup data is a seed, another at each boot', async ({ guest }) => {
  const seedOf = async () => {
    const { hdr } = (await boot(guest, buildBzImage())).zeroPage;
    const bytes = guest.bytes(gpa(hdr.setup_data), setupData.size + SEED_BYTES);
    const { next, type, len } = setupData.at(bytes.buffer);
    assert.equal([next, type, len], [0, SETUP_RNG_SEED, SEED_BYTES]);
    return Buffer.from(bytes.subarray(setupData.size)).toString('hex');
  };
  assert.is.not(await seedOf(), await seedOf());
});

test('bzImage: the E820 map is that of the machine', async ({ guest }) => {
  const { zeroPage } = await boot(guest, buildBzImage());
  const expected = memoryMap(8 * MIB);
  assert.is(zeroPage.e820_entries, expected.length);
  const entries = zeroPage.e820_table.slice(0, expected.length);
  assert.equal(
    entries.map(({ addr, size, type }) => ({ start: addr, length: size, type })),
    expected,
  );
});

test('the CPU is in 64-bit mode with memory mapped to itself, flat segments, interrupts off', async ({
  guest,
}) => {
  const { regs, sregs } = await boot(guest, buildBzImage());
  assert.is(regs.rflags, 2n);
  assert.equal([sregs.cr0, sregs.cr4, sregs.efer], [0x80000011n, 0x20n, 0x500n]);
  assert.equal([sregs.cs.selector, sregs.cs.l, sregs.cs.db, sregs.cs.type], [0x10, 1, 0, 11]);
  for (const segment of [sregs.ds, sregs.es, sregs.ss])
    assert.equal([segment.selector, segment.type], [0x18, 3]);
  const entry = (at: number) => Number(new BigUint64Array(guest.bytes(gpa(at), 8).buffer)[0]);
  const page = (value: number) => value - (value % 4096);
  for (const address of [0, 0x400000, 0xfee00000]) {
    const pointers = page(entry(Number(sregs.cr3)));
    const directory = page(entry(pointers + 8 * Math.floor(address / 2 ** 30)));
    const large = entry(directory + 8 * Math.floor((address % 2 ** 30) / 2 ** 21));
    assert.is(large, address - (address % 2 ** 21) + 0x83);
  }
  const descriptor = guest.bytes(gpa(Number(sregs.gdt.base) + sregs.cs.selector), 8);
  assert.equal([...descriptor], [0xff, 0xff, 0, 0, 0, 0x9b, 0xaf, 0]);
});

test('an initial RAM disk lies whole, page-aligned, as high as the kernel allows', async ({ guest }) => {
  const content = new Uint8Array(10_000).map((_, i) => i % 253);
  const initrdPath = file('initrd', content);
  const high = (await boot(guest, buildBzImage(), { initrdPath })).zeroPage.hdr;
  assert.equal([high.ramdisk_image, high.ramdisk_size], [8 * MIB - 12288, 10_000]);
  assert.equal(guest.bytes(gpa(high.ramdisk_image), content.length), content);
  const low = await boot(guest, buildBzImage({ initrdAddrMax: 5 * MIB - 1 }), { initrdPath });
  assert.is(low.zeroPage.hdr.ramdisk_image, 5 * MIB - 12288);
});

test('a vmlinux without PVH note is entered at its ELF entry, with a header of our own', async ({
  guest,
}) => {
  const image = buildElf({ pvhEntry: null, entry: LOAD_ADDRESS + 1 });
  const initrdPath = file('initrd', new Uint8Array([1, 2, 3]));
  const { regs, zeroPage } = await boot(guest, image, { initrdPath, cmdline: 'a' });
  assert.is(regs.rip, BigInt(LOAD_ADDRESS + 1));
  assert.equal([zeroPage.hdr.header, zeroPage.hdr.boot_flag], [0x53726448, 0xaa55]);
  assert.is(zeroPage.hdr.ramdisk_size, 3);
});

const spoilt: Record<string, [BzImageSpec, RegExp]> = {
  'of an old protocol': [{ version: 0x020b }, /protocol 2\.11/],
  'of 32 bits': [{ xloadflags: 0 }, /32-bit/],
  'without alignment': [{ alignment: 0 }, /alignment/],
  'with an odd alignment': [{ alignment: 0x300000 }, /alignment/],
  'that wants to be below 1 MiB': [{ prefAddress: 0 }, /preferred address/],
  'that wants to be where it is not aligned': [{ prefAddress: 0x250000 }, /preferred address/],
  'that wants to be beyond RAM': [{ prefAddress: 0x80000000 }, /MiB of memory/],
  'that needs more memory than there is': [{ initSize: 7 * MIB }, /needs 9 MiB of memory/],
  'that ends in its setup part': [{ code: new Uint8Array(0) }, /truncated/],
};
for (const [name, [spec, why]] of Object.entries(spoilt)) {
  test(`a bzImage ${name} is refused`, ({ guest }) => refused(guest, buildBzImage(spec), why));
}

test('an initial RAM disk that does not fit, is empty or absent is refused', async ({ guest }) => {
  const large = file('large', new Uint8Array(7 * MIB));
  await refused(guest, buildBzImage(), /does not fit/, { initrdPath: large });
  await refused(guest, buildBzImage(), /empty/, { initrdPath: file('empty', new Uint8Array(0)) });
  await refused(guest, buildBzImage(), /not a regular file/, { initrdPath: directory });
});

test('a command line longer than the kernel takes is refused', ({ guest }) =>
  refused(guest, buildBzImage({ cmdlineSize: 10 }), /11 bytes long/, { cmdline: 'x'.repeat(11) }));

test.run();
