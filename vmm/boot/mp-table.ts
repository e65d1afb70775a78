/**
 * The tables of the Intel MultiProcessor Specification 1.4, by which kernels without ACPI find processors and the
 * interrupt controller. Names are those of chapter 4.
 */
import { bytes, packedStruct, u8, u16, u32 } from '../ffi/struct.ts';
import { gpa } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { checksumOf } from './checksum.ts';
import { INTERRUPT_PINS, IOAPIC_ADDRESS, IOAPIC_ID, LAPIC_ADDRESS } from './interrupt-map.ts';
import { LowMemory } from './low-memory.ts';

export const mpFloatingPointer = packedStruct('mp_floating_pointer', {
  signature: bytes(4),
  physical_address: u32,
  length: u8,
  spec_rev: u8,
  checksum: u8,
  features: bytes(5),
});
export const mpConfiguration = packedStruct('mp_configuration_table', {
  signature: bytes(4),
  base_table_length: u16,
  spec_rev: u8,
  checksum: u8,
  oem_id: bytes(8),
  product_id: bytes(12),
  oem_table_pointer: u32,
  oem_table_size: u16,
  entry_count: u16,
  lapic_address: u32,
  extended_table_length: u16,
  extended_table_checksum: u8,
  reserved: u8,
});
export const mpProcessor = packedStruct('mp_processor', {
  type: u8,
  lapic_id: u8,
  lapic_version: u8,
  cpu_flags: u8,
  cpu_signature: u32,
  feature_flags: u32,
  reserved: bytes(8),
});
export const mpBus = packedStruct('mp_bus', { type: u8, bus_id: u8, bus_type: bytes(6) });
export const mpIoapic = packedStruct('mp_ioapic', { type: u8, id: u8, version: u8, flags: u8, address: u32 });
export const mpInterrupt = packedStruct('mp_interrupt', {
  type: u8,
  interrupt_type: u8,
  flags: u16,
  source_bus: u8,
  source_irq: u8,
  destination_id: u8,
  destination_pin: u8,
});

const EntryType = { PROCESSOR: 0, BUS: 1, IOAPIC: 2, IO_INTERRUPT: 3, LOCAL_INTERRUPT: 4 } as const;
const InterruptType = { INT: 0, NMI: 1, EXTINT: 3 } as const;
const SPEC_REVISION = 4;
const CPU_ENABLED = 1;
const CPU_BOOT = 2;
const IOAPIC_ENABLED = 1;
/** As the in-kernel APICs say themselves. */
const APIC_VERSION = 0x14;
const IOAPIC_VERSION = 0x11;
const ALL_LAPICS = 0xff;
const ISA_BUS = 0;

const ascii = (text: string, length: number): Uint8Array =>
  new TextEncoder().encode(text.padEnd(length, ' '));

/** Writes the pointer where a kernel looks first, and the table into the reserved BIOS area. */
export function writeMpTable(memory: GuestMemory, vcpuCount: number): void {
  const entries = [...processors(vcpuCount), bus(), ioapic(), ...interrupts()];
  const table = mpConfiguration.allocate(entries.reduce((sum, entry) => sum + entry.length, 0));
  table.signature.set(ascii('PCMP', 4));
  table.base_table_length = table.bytes.length;
  table.spec_rev = SPEC_REVISION;
  table.oem_id.set(ascii('TSVMM', 8));
  table.product_id.set(ascii('TSVMM', 12));
  table.entry_count = entries.length;
  table.lapic_address = LAPIC_ADDRESS;
  let at = mpConfiguration.size;
  for (const entry of entries) {
    table.bytes.set(entry, at);
    at += entry.length;
  }
  table.checksum = checksumOf(table.bytes);
  memory.copyIn(gpa(LowMemory.MP_TABLE), table.bytes);

  const pointer = mpFloatingPointer.allocate();
  pointer.signature.set(ascii('_MP_', 4));
  pointer.physical_address = LowMemory.MP_TABLE;
  pointer.length = mpFloatingPointer.size / 16;
  pointer.spec_rev = SPEC_REVISION;
  pointer.checksum = checksumOf(pointer.bytes);
  memory.copyIn(gpa(LowMemory.MP_POINTER), pointer.bytes);
}

function processors(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, id) => {
    const entry = mpProcessor.allocate();
    entry.type = EntryType.PROCESSOR;
    entry.lapic_id = id;
    entry.lapic_version = APIC_VERSION;
    entry.cpu_flags = CPU_ENABLED | (id === 0 ? CPU_BOOT : 0);
    return entry.bytes;
  });
}

function bus(): Uint8Array {
  const entry = mpBus.allocate();
  entry.type = EntryType.BUS;
  entry.bus_id = ISA_BUS;
  entry.bus_type.set(ascii('ISA', 6));
  return entry.bytes;
}

function ioapic(): Uint8Array {
  const entry = mpIoapic.allocate();
  entry.type = EntryType.IOAPIC;
  entry.id = IOAPIC_ID;
  entry.version = IOAPIC_VERSION;
  entry.flags = IOAPIC_ENABLED;
  entry.address = IOAPIC_ADDRESS;
  return entry.bytes;
}

/** Polarity and trigger "conform to the bus": edges, as on an ISA bus. */
function interrupts(): Uint8Array[] {
  const interrupt = (type: number, interruptType: number, irq: number, destination: number, pin: number) => {
    const entry = mpInterrupt.allocate();
    entry.type = type;
    entry.interrupt_type = interruptType;
    entry.source_bus = ISA_BUS;
    entry.source_irq = irq;
    entry.destination_id = destination;
    entry.destination_pin = pin;
    return entry.bytes;
  };
  const pins = Array.from({ length: INTERRUPT_PINS }, (_, pin) =>
    interrupt(EntryType.IO_INTERRUPT, InterruptType.INT, pin, IOAPIC_ID, pin),
  );
  return [
    ...pins,
    interrupt(EntryType.LOCAL_INTERRUPT, InterruptType.EXTINT, 0, ALL_LAPICS, 0),
    interrupt(EntryType.LOCAL_INTERRUPT, InterruptType.NMI, 0, ALL_LAPICS, 1),
  ];
}
