import {
  RESET_CONTROL_PORT,
  RESET_VALUE,
  SLEEP_CONTROL_PORT,
  SLEEP_STATUS_PORT,
} from '../../devices/power.ts';
import { CMOS_CENTURY } from '../../devices/rtc/cmos.ts';
import type { ViewOf } from '../../ffi/struct.ts';
import { alignUp, gpa } from '../../memory/address.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { checksumOf } from '../checksum.ts';
import { IOAPIC_ADDRESS, IOAPIC_ID, LAPIC_ADDRESS } from '../interrupt-map.ts';
import { LowMemory } from '../low-memory.ts';
import { AddressSpace, type Aml } from './aml.ts';
import { differentiatedDescription, type MmioDevice } from './dsdt.ts';
import {
  fadtTable,
  madtIoApic,
  madtLocalApic,
  madtLocalApicNmi,
  madtTable,
  RSDP_CHECKSUMMED_BYTES,
  rsdpTable,
  sdtHeader,
} from './tables.ts';

/** Fixed feature flags of the FADT (ACPI 6.5 table 5.10). */
const FadtFlag = {
  WBINVD: 1 << 0,
  /** No button in fixed hardware: it is a device. */
  POWER_BUTTON: 1 << 4,
  SLEEP_BUTTON: 1 << 5,
  RESET_REGISTER: 1 << 10,
  HARDWARE_REDUCED: 1 << 20,
} as const;
/** IA-PC boot architecture (table 5.11): there are ports of old, but no keyboard controller and no VGA. */
const BootArchitecture = { LEGACY_DEVICES: 1 << 0, NO_VGA: 1 << 2 } as const;
const MADT_PCAT_COMPATIBLE = 1;
const MadtType = { LOCAL_APIC: 0, IO_APIC: 1, LOCAL_APIC_NMI: 4 } as const;
const APIC_ENABLED = 1;
const ALL_PROCESSORS = 0xff;

const Revision = { RSDP: 2, XSDT: 1, FADT: 6, FADT_MINOR: 5, MADT: 5, DSDT: 2 } as const;
const TABLE_ALIGNMENT = 16;

export interface AcpiMachine {
  readonly vcpuCount: number;
  readonly devices: readonly MmioDevice[];
}

/**
 * Writes ACPI's tables into the reserved BIOS area and answers where their root is. They describe a machine of reduced
 * hardware (section 4.1): no registers in fixed places, and no mode to be switched on. All that happens comes by the
 * generic event device.
 */
export function writeAcpiTables(memory: GuestMemory, { vcpuCount, devices }: AcpiMachine): number {
  const rsdp = LowMemory.ACPI_TABLES;
  let next: number = rsdp + alignUp(rsdpTable.size, TABLE_ALIGNMENT);
  const put = (table: Uint8Array): number => {
    const at = next;
    next = alignUp(at + table.length, TABLE_ALIGNMENT);
    if (next > LowMemory.GENERATION_ID)
      throw new RangeError('the ACPI tables do not fit below the generation id');
    memory.copyIn(gpa(at), table);
    return at;
  };
  const dsdt = put(
    descriptionTable('DSDT', Revision.DSDT, differentiatedDescription(devices, LowMemory.GENERATION_ID)),
  );
  const fadt = put(fixedDescription(dsdt));
  const madt = put(multipleApics(vcpuCount));
  const xsdt = put(
    descriptionTable('XSDT', Revision.XSDT, [
      new Uint8Array(new BigUint64Array([fadt, madt].map(BigInt)).buffer),
    ]),
  );
  memory.copyIn(gpa(rsdp), rootPointer(xsdt));
  return rsdp;
}

const ascii = (text: string, length: number): Uint8Array =>
  new TextEncoder().encode(text.padEnd(length, ' '));

/** Fills in the header of a table that is complete. */
function seal(table: Uint8Array, signature: string, revision: number): Uint8Array {
  const header = sdtHeader.at(table.buffer, table.byteOffset) as ViewOf<typeof sdtHeader>;
  header.signature.set(ascii(signature, 4));
  header.length = table.length;
  header.revision = revision;
  header.oem_id.set(ascii('TSVMM', 6));
  header.oem_table_id.set(ascii('TSVMM', 8));
  header.oem_revision = 1;
  header.creator_id.set(ascii('TSVM', 4));
  header.creator_revision = 1;
  header.checksum = checksumOf(table);
  return table;
}

function descriptionTable(signature: string, revision: number, content: readonly Aml[]): Uint8Array {
  const table = new Uint8Array(sdtHeader.size + content.reduce((sum, part) => sum + part.length, 0));
  let at = sdtHeader.size;
  for (const part of content) {
    table.set(part, at);
    at += part.length;
  }
  return seal(table, signature, revision);
}

function fixedDescription(dsdt: number): Uint8Array {
  const fadt = fadtTable.allocate();
  fadt.dsdt = dsdt;
  fadt.x_dsdt = dsdt;
  fadt.century = CMOS_CENTURY;
  fadt.iapc_boot_arch = BootArchitecture.LEGACY_DEVICES | BootArchitecture.NO_VGA;
  fadt.flags =
    FadtFlag.WBINVD |
    FadtFlag.POWER_BUTTON |
    FadtFlag.SLEEP_BUTTON |
    FadtFlag.RESET_REGISTER |
    FadtFlag.HARDWARE_REDUCED;
  setPort(fadt.reset_reg, RESET_CONTROL_PORT);
  fadt.reset_value = RESET_VALUE;
  fadt.minor_version = Revision.FADT_MINOR;
  setPort(fadt.sleep_control_reg, SLEEP_CONTROL_PORT);
  setPort(fadt.sleep_status_reg, SLEEP_STATUS_PORT);
  fadt.hypervisor_vendor_id.set(ascii('TSVMM', 8));
  return seal(fadt.bytes, 'FACP', Revision.FADT);
}

function setPort(register: ViewOf<typeof fadtTable>['reset_reg'], port: number): void {
  const BYTE_ACCESS = 1;
  register.space_id = AddressSpace.IO;
  register.bit_width = 8;
  register.access_width = BYTE_ACCESS;
  register.address = port;
}

/** No interrupt is on another pin than a PC's: there is nothing to override. */
function multipleApics(vcpuCount: number): Uint8Array {
  const ioapic = madtIoApic.allocate();
  Object.assign(ioapic, {
    type: MadtType.IO_APIC,
    length: madtIoApic.size,
    id: IOAPIC_ID,
    address: IOAPIC_ADDRESS,
  });
  const nmi = madtLocalApicNmi.allocate();
  Object.assign(nmi, { type: MadtType.LOCAL_APIC_NMI, length: madtLocalApicNmi.size });
  Object.assign(nmi, { processor_uid: ALL_PROCESSORS, lint: 1 });
  const entries = [...Array.from({ length: vcpuCount }, (_, id) => localApic(id)), ioapic.bytes, nmi.bytes];
  const madt = madtTable.allocate(entries.reduce((sum, entry) => sum + entry.length, 0));
  madt.lapic_address = LAPIC_ADDRESS;
  madt.flags = MADT_PCAT_COMPATIBLE;
  let at: number = madtTable.size;
  for (const entry of entries) {
    madt.bytes.set(entry, at);
    at += entry.length;
  }
  return seal(madt.bytes, 'APIC', Revision.MADT);
}

function localApic(id: number): Uint8Array {
  const entry = madtLocalApic.allocate();
  Object.assign(entry, { type: MadtType.LOCAL_APIC, length: madtLocalApic.size, processor_uid: id, id });
  entry.flags = APIC_ENABLED;
  return entry.bytes;
}

function rootPointer(xsdt: number): Uint8Array {
  const rsdp = rsdpTable.allocate();
  rsdp.signature.set(ascii('RSD PTR ', 8));
  rsdp.oem_id.set(ascii('TSVMM', 6));
  rsdp.revision = Revision.RSDP;
  rsdp.length = rsdpTable.size;
  rsdp.xsdt_address = xsdt;
  rsdp.checksum = checksumOf(rsdp.bytes.subarray(0, RSDP_CHECKSUMMED_BYTES));
  rsdp.extended_checksum = checksumOf(rsdp.bytes);
  return rsdp.bytes;
}
