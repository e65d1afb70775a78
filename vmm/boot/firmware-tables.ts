import type { MachineParts } from '../machine-parts.ts';
import { writeAcpiTables } from './acpi/acpi.ts';
import { renewGenerationId } from './acpi/generation-id.ts';
import type { BootInformation } from './boot.ts';
import { writeMpTable } from './mp-table.ts';
import { writeResetVector } from './reset-vector.ts';

/** Writes what firmware leaves: tables by which a kernel finds processors and devices, and where it goes to be reset. */
export function writeFirmwareTables({ memory, vcpus, slots }: MachineParts): Pick<BootInformation, 'rsdp'> {
  writeMpTable(memory, vcpus.length);
  writeResetVector(memory);
  renewGenerationId(memory);
  return { rsdp: writeAcpiTables(memory, { vcpuCount: vcpus.length, devices: slots }) };
}
