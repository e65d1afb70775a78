/** ACPI's static tables (ACPI 6.5 section 5.2), as far as a machine without firmware needs them. */
import { bytes, nested, packedStruct, u8, u16, u32, usize } from '../../ffi/struct.ts';

export const sdtHeader = packedStruct('acpi_table_header', {
  signature: bytes(4),
  length: u32,
  revision: u8,
  checksum: u8,
  oem_id: bytes(6),
  oem_table_id: bytes(8),
  oem_revision: u32,
  creator_id: bytes(4),
  creator_revision: u32,
});

/** Section 5.2.5.3. `checksum` covers the first 20 bytes, those of ACPI 1.0. */
export const rsdpTable = packedStruct('acpi_table_rsdp', {
  signature: bytes(8),
  checksum: u8,
  oem_id: bytes(6),
  revision: u8,
  rsdt_address: u32,
  length: u32,
  xsdt_address: usize,
  extended_checksum: u8,
  reserved: bytes(3),
});
export const RSDP_CHECKSUMMED_BYTES = 20;

/** Section 5.2.3.2. */
const genericAddress = packedStruct('acpi_generic_address', {
  space_id: u8,
  bit_width: u8,
  bit_offset: u8,
  access_width: u8,
  address: usize,
});

/** Section 5.2.9; the blocks that hardware-reduced ACPI does not have are taken together. */
export const fadtTable = packedStruct('acpi_table_fadt', {
  header: nested(sdtHeader),
  firmware_ctrl: u32,
  dsdt: u32,
  unused_to_century: bytes(64),
  century: u8,
  iapc_boot_arch: u16,
  reserved: u8,
  flags: u32,
  reset_reg: nested(genericAddress),
  reset_value: u8,
  arm_boot_arch: u16,
  minor_version: u8,
  x_firmware_ctrl: usize,
  x_dsdt: usize,
  unused_x_blocks: bytes(96),
  sleep_control_reg: nested(genericAddress),
  sleep_status_reg: nested(genericAddress),
  hypervisor_vendor_id: bytes(8),
});

/** Section 5.2.12 and its entries. */
export const madtTable = packedStruct('acpi_table_madt', {
  header: nested(sdtHeader),
  lapic_address: u32,
  flags: u32,
});
export const madtLocalApic = packedStruct('acpi_madt_local_apic', {
  type: u8,
  length: u8,
  processor_uid: u8,
  id: u8,
  flags: u32,
});
export const madtIoApic = packedStruct('acpi_madt_io_apic', {
  type: u8,
  length: u8,
  id: u8,
  reserved: u8,
  address: u32,
  global_irq_base: u32,
});
export const madtLocalApicNmi = packedStruct('acpi_madt_local_apic_nmi', {
  type: u8,
  length: u8,
  processor_uid: u8,
  flags: u16,
  lint: u8,
});
