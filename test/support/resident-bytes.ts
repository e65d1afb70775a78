import { readFileSync } from 'node:fs';
import type { RamDescriptor } from '../../vmm/memory/ram.ts';

/** Bytes of this RAM that the host has given memory for (proc(5), smaps), its parts being mappings of their own. */
export function residentBytes({ address, length }: Pick<RamDescriptor, 'address' | 'length'>): number {
  let inside = false;
  let bytes = 0;
  for (const line of readFileSync('/proc/self/smaps', 'latin1').split('\n')) {
    const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line) ?? [];
    if (start !== undefined && end !== undefined)
      inside = Number.parseInt(start, 16) < address + length && Number.parseInt(end, 16) > address;
    const [, size] = /^Rss:\s+(\d+) kB/.exec(line) ?? [];
    if (inside && size !== undefined) bytes += Number(size) * 1024;
  }
  return bytes;
}
