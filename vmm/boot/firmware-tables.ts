import type { MachineParts } from '../machine-parts.ts';
import { writeAcpiTables } from './acpi/acpi.ts';
import { renewGenerationId } from './acpi/generation-id.ts';
import type { BootInformation } from './boot.ts';
import { writeMpTable } from './mp-table.ts';

/** Writes the tables by which a kernel finds processors, interrupt controllers and devices. */
export function writeFirmwareTables({ memory, vcpus, slots }: MachineParts): Pick<BootInformation, 'rsdp'> {
  writeMpTable(memory, vcpus.length);
  renewGenerationId(memory);
  return { rsdp: writeAcpiTables(memory, { vcpuCount: vcpus.length, devices: slots }) };
}
