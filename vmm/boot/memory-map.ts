import { MIB } from '../memory/address.ts';
import { ramRegions } from '../memory/layout.ts';
import { LowMemory } from './low-memory.ts';

/** Address range types of the ACPI specification (6.5, table 15.4), which PVH and the Linux protocol share. */
export const MemoryType = { RAM: 1, RESERVED: 2 } as const;

export interface MemoryMapEntry {
  readonly start: number;
  readonly length: number;
  readonly type: number;
}

/** The memory map that a guest with `length` bytes of RAM is told: as on a PC, with nothing usable below 1 MiB's top. */
export function memoryMap(length: number): MemoryMapEntry[] {
  const [low, high] = ramRegions(length);
  const map: MemoryMapEntry[] = [
    { start: 0, length: LowMemory.END, type: MemoryType.RAM },
    { start: LowMemory.END, length: MIB - LowMemory.END, type: MemoryType.RESERVED },
    { start: MIB, length: (low?.length ?? 0) - MIB, type: MemoryType.RAM },
  ];
  if (high !== undefined) map.push({ start: high.start, length: high.length, type: MemoryType.RAM });
  return map;
}
