import type { MachineParts } from '../machine-parts.ts';
import type { BootInformation } from './boot.ts';
import { writeMpTable } from './mp-table.ts';

/** Writes the tables by which a kernel finds processors, interrupt controllers and devices. */
export function writeFirmwareTables({ memory, vcpus }: MachineParts): Pick<BootInformation, 'rsdp'> {
  writeMpTable(memory, vcpus.length);
  return {};
}
