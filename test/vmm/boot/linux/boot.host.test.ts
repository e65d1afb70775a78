import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { linuxHostWords } from '../../../../vmm/boot/linux/host-words.ts';
import { hostKind } from '../../../../vmm/kvm/host-kind.ts';
import type { MachineConfig } from '../../../../vmm/machine.ts';
import { GIB, MIB } from '../../../../vmm/memory/address.ts';
import { lacksKvm } from '../../../support/bench-image.ts';
import { lacksCompiler } from '../../../support/c-program.ts';
import { Guest } from '../../../support/guest.ts';
import { testUnless } from '../../../support.ts';
import { buildProbe } from '../probe/build-probe.ts';
import { Facts } from '../probe/facts.ts';

const test = suite('Linux boot protocol, seen by a kernel');
const directory = mkdtempSync(join(tmpdir(), 'tsvmm-probe-'));
test.after(() => rmSync(directory, { recursive: true }));
const lacks = lacksKvm() ?? lacksCompiler();

const withHostWords = (cmdline: string) => [cmdline, ...linuxHostWords(cmdline, hostKind())].join(' ');

async function probe(form: 'elf' | 'bzImage', config: Partial<MachineConfig> = {}): Promise<Facts> {
  const { elf, bzImage } = buildProbe(directory);
  const guest = await Guest.create({
    imagePath: form === 'elf' ? elf : bzImage,
    firmwareTables: true,
    ...config,
  });
  guest.machine.start();
  const exit = await guest.exited;
  await guest.stop();
  assert.is(exit.kind, 'power-off', guest.console);
  return new Facts(guest.console);
}

for (const form of ['elf', 'bzImage'] as const) {
  testUnless(lacks, test, `${form}: 64-bit mode, flat segments, paging on, interrupts off`, async () => {
    const facts = await probe(form);
    assert.is(facts.number('rflags') & 0x200, 0, 'interrupts');
    const cr0 = facts.big('cr0');
    assert.ok((cr0 & 1n) === 1n && (cr0 & 0x80000000n) !== 0n, `cr0 ${cr0}`);
    assert.ok((facts.number('cr4') & 0x20) !== 0, 'PAE');
    assert.is(facts.number('efer') & 0x500, 0x500, 'long mode enabled and active');
    assert.is(facts.number('cs'), 0x10);
    assert.equal(
      ['ds', 'es', 'ss'].map(name => facts.number(name)),
      [0x18, 0x18, 0x18],
    );
    assert.is(facts.big('descriptor_cs') & 0x00ff_ff00_0000_ffffn, 0x00af_9b00_0000_ffffn);
    assert.is(facts.big('descriptor_ds') & 0x00ff_ff00_0000_ffffn, 0x00cf_9300_0000_ffffn);
    assert.ok(facts.number('lapic_version') >= 0x10, 'what lies below 4 GiB is mapped');
  });

  testUnless(
    lacks,
    test,
    `${form}: zero page, command line, initial RAM disk and tables are there`,
    async () => {
      const content = new Uint8Array(5000).map((_, i) => (i * 7) % 256);
      const initrdPath = join(directory, 'initrd');
      writeFileSync(initrdPath, content);
      const cmdline = 'console=ttyS0 quiet';
      const facts = await probe(form, { initrdPath, cmdline, memory_bytes: 32 * MIB, devices: [] });
      assert.is(facts.text('cmdline'), withHostWords(cmdline));
      assert.is(facts.number('boot_flag'), 0xaa55);
      assert.is(facts.number('header'), 0x53726448);
      assert.equal([facts.number('type_of_loader'), facts.number('loadflags') & 1], [0xff, 1]);
      assert.is(facts.number('sentinel'), 0);
      assert.equal([facts.number('initrd'), facts.number('initrd_size')], [32 * MIB - 8192, 5000]);
      const sum = content.reduce((total, byte) => BigInt.asUintN(64, total * 31n + BigInt(byte)), 0n);
      assert.is(facts.big('initrd_sum'), sum);
      assert.is(facts.number('mp_signature'), Buffer.from('_MP_').readUInt32LE());
      assert.is(facts.big('rsdp_signature'), Buffer.from('RSD PTR ').readBigUInt64LE());
      assert.is(facts.number('xsdt_signature'), Buffer.from('XSDT').readUInt32LE());
    },
  );
}

for (const memory_bytes of [16 * MIB, 3 * GIB, 4 * GIB, 5 * GIB]) {
  testUnless(
    lacks,
    test,
    `the memory map of ${memory_bytes / MIB} MiB leaves out what is not RAM`,
    async () => {
      const facts = await probe('bzImage', { memory_bytes });
      const [starts, lengths, types] = ['e820_start', 'e820_length', 'e820_type'].map(name =>
        facts.all(name),
      ) as [number[], number[], number[]];
      const ram = starts.flatMap((start, i) =>
        types[i] === 1 ? [{ start, length: lengths[i] as number }] : [],
      );
      const low = Math.min(memory_bytes, 3 * GIB);
      const expected = [
        { start: 0, length: 0x9fc00 },
        { start: MIB, length: low - MIB },
      ];
      if (memory_bytes > low) expected.push({ start: 4 * GIB, length: memory_bytes - low });
      assert.equal(ram, expected);
    },
  );
}

testUnless(lacks, test, 'the announced devices stand in the command line', async () => {
  const facts = await probe('bzImage', { cmdline: 'a=1' });
  assert.is(facts.text('cmdline'), `${withHostWords('a=1')} virtio_mmio.device=4K@0xd0000000:5`);
});

testUnless(lacks, test, "what is added stands before init's words", async () => {
  const facts = await probe('bzImage', { cmdline: 'a=1 -- nopti' });
  assert.is(facts.text('cmdline'), `${withHostWords('a=1')} virtio_mmio.device=4K@0xd0000000:5 -- nopti`);
});

test.run();
