import { readFileSync } from 'node:fs';

/** Resident memory of a process, in MiB. */
export interface ResidentMemory {
  /** All of it but the guest's RAM. */
  readonly overhead_mib: number;
  /** The part of that which is not shared with other processes. */
  readonly private_mib: number;
  readonly guest_mib: number;
}

/**
 * Reads /proc/PID/smaps (proc(5)). Guest RAM are the mappings of just its length, which no allocator makes: tsvmm and
 * QEMU map it as one.
 */
export function residentMemory(pid: number | 'self', guestRam_bytes: number): ResidentMemory {
  let overhead_kib = 0;
  let private_kib = 0;
  let guest_kib = 0;
  for (const mapping of readFileSync(`/proc/${pid}/smaps`, 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const rss = field(mapping, 'Rss');
    if (field(mapping, 'Size') * 1024 === guestRam_bytes) {
      guest_kib += rss;
    } else {
      overhead_kib += rss;
      private_kib += field(mapping, 'Private_Clean') + field(mapping, 'Private_Dirty');
    }
  }
  return { overhead_mib: overhead_kib / 1024, private_mib: private_kib / 1024, guest_mib: guest_kib / 1024 };
}

const field = (mapping: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(mapping)?.[1] ?? 0);
