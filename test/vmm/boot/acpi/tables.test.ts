import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writeAcpiTables } from '../../../../vmm/boot/acpi/acpi.ts';
import { renewGenerationId } from '../../../../vmm/boot/acpi/generation-id.ts';
import {
  fadtTable,
  madtLocalApic,
  madtTable,
  rsdpTable,
  sdtHeader,
} from '../../../../vmm/boot/acpi/tables.ts';
import { LowMemory } from '../../../../vmm/boot/low-memory.ts';
import { memoryMap } from '../../../../vmm/boot/memory-map.ts';
import { slotPlace } from '../../../../vmm/devices/virtio/slot.ts';
import { gpa, MIB } from '../../../../vmm/memory/address.ts';
import { FakeGuest } from '../../../support/virtio-driver.ts';
import { testUnless } from '../../../support.ts';

const test = suite<{ guest: FakeGuest }>('ACPI tables');
test.before.each(context => {
  context.guest = new FakeGuest(2 * MIB);
});
test.after.each(({ guest }) => guest.free());

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0) % 256;
const devices = (count: number) => Array.from({ length: count }, (_, i) => slotPlace(i));

/** All tables, found as a kernel does: root pointer, extended table of tables, FADT. */
function findTables(guest: FakeGuest, root: number): Map<string, Uint8Array> {
  const read = (at: number) =>
    guest.bytes(gpa(at), sdtHeader.at(guest.bytes(gpa(at), sdtHeader.size).buffer).length);
  const rsdp = rsdpTable.at(guest.bytes(gpa(root), rsdpTable.size).buffer);
  assert.is(new TextDecoder().decode(rsdp.signature), 'RSD PTR ');
  assert.equal([rsdp.revision, rsdp.length, sum(rsdp.bytes), sum(rsdp.bytes.subarray(0, 20))], [2, 36, 0, 0]);
  const xsdt = read(rsdp.xsdt_address);
  const view = new DataView(xsdt.buffer);
  const tables = [xsdt];
  for (let at: number = sdtHeader.size; at < xsdt.length; at += 8)
    tables.push(read(Number(view.getBigUint64(at, true))));
  const named = () =>
    new Map(tables.map(table => [new TextDecoder().decode(sdtHeader.at(table.buffer).signature), table]));
  const fadt = fadtTable.at((named().get('FACP') as Uint8Array).buffer);
  assert.is(fadt.x_dsdt, fadt.dsdt);
  tables.push(read(fadt.x_dsdt));
  return named();
}

for (const [vcpuCount, deviceCount] of [
  [1, 0],
  [2, 4],
  [64, 17],
] as const) {
  test(`${vcpuCount} vCPUs, ${deviceCount} devices: each table can be found and adds up to 0`, ({
    guest,
  }) => {
    const root = writeAcpiTables(guest.memory, { vcpuCount, devices: devices(deviceCount) });
    const tables = findTables(guest, root);
    assert.equal([...tables.keys()].sort(), ['APIC', 'DSDT', 'FACP', 'XSDT']);
    for (const table of tables.values()) assert.is(sum(table), 0);

    const madt = tables.get('APIC') as Uint8Array;
    const ids: number[] = [];
    const types: number[] = [];
    for (let at: number = madtTable.size; at < madt.length; at += madt[at + 1] as number) {
      types.push(madt[at] as number);
      if (madt[at] === 0) ids.push(madtLocalApic.at(madt.buffer, at).id);
    }
    assert.equal(ids, [...Array(vcpuCount).keys()]);
    assert.equal(types.slice(vcpuCount), [1, 4]);
  });
}

test('the tables lie where the memory map has no usable memory', ({ guest }) => {
  const root = writeAcpiTables(guest.memory, { vcpuCount: 1, devices: [] });
  for (const at of [root, LowMemory.GENERATION_ID, LowMemory.MP_TABLE]) {
    const region = memoryMap(64 * MIB).find(({ start, length }) => at >= start && at < start + length);
    assert.is(region?.type, 2);
  }
});

test('renewGenerationId(): another one each time', ({ guest }) => {
  const read = () => Buffer.from(guest.bytes(gpa(LowMemory.GENERATION_ID), 16)).toString('hex');
  const seen = new Set([read()]);
  for (let i = 0; i < 10; i++) {
    renewGenerationId(guest.memory);
    seen.add(read());
  }
  assert.is(seen.size, 11);
});

const IASL = process.env.IASL ?? 'iasl';
const lacksIasl =
  spawnSync(IASL, ['-v']).error === undefined ? undefined : 'iasl (acpica-tools) is not installed';

const iasl = (directory: string, ...args: string[]) =>
  spawnSync(IASL, args, { cwd: directory, encoding: 'utf8' });

testUnless(lacksIasl, test, 'iasl disassembles the byte code, and makes the same of what it read', () => {
  const guest = new FakeGuest(2 * MIB);
  const directory = mkdtempSync(join(tmpdir(), 'tsvmm-acpi-'));
  try {
    const root = writeAcpiTables(guest.memory, { vcpuCount: 2, devices: devices(17) });
    for (const [name, table] of findTables(guest, root)) {
      writeFileSync(join(directory, `${name}.dat`), table);
      const { status, stderr } = iasl(directory, '-d', `${name}.dat`);
      assert.is(status, 0, stderr);
      assert.not.match(stderr, /invalid|warning|error/i);
    }
    const source = readFileSync(join(directory, 'DSDT.dsl'), 'utf8');
    for (const device of ['COM1', 'RTC0', 'PWRB', 'VGEN', 'GED0', 'VR00', 'VR10'])
      assert.match(source, new RegExp(`Device \\(${device}\\)`));
    assert.is(source.match(/Name \(_HID, "LNRO0005"\)/g)?.length, 17);
    const compiled = iasl(directory, '-oa', '-p', 'again', 'DSDT.dsl');
    assert.is(compiled.status, 0, compiled.stdout + compiled.stderr);
    const body = (file: string) =>
      readFileSync(join(directory, file)).subarray(sdtHeader.size).toString('hex');
    assert.is(body('again.aml'), body('DSDT.dat'));
  } finally {
    rmSync(directory, { recursive: true });
    guest.free();
  }
});

test.run();
