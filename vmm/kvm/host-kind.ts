import { closeSync, openSync, readSync } from 'node:fs';

/** What KVM works with: Intel VT-x, AMD-V, or neither, such as PVM, which interprets the guest's kernel code. */
export type HostKind = 'vmx' | 'svm' | 'software';

/** Holds the flags of the first processor. */
const PROBE_BYTES = 8192;

/** From the text of /proc/cpuinfo. With neither of the two flags visible, a KVM that is there works in software. */
export function hostKindOf(cpuinfo: string): HostKind {
  const flags = /^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.split(' ') ?? [];
  return flags.includes('vmx') ? 'vmx' : flags.includes('svm') ? 'svm' : 'software';
}

let known: HostKind | undefined;

export function hostKind(): HostKind {
  known ??= hostKindOf(readStart('/proc/cpuinfo'));
  return known;
}

/** The kernel makes up no more of such a file than is read. */
function readStart(path: string): string {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(PROBE_BYTES);
    let length = 0;
    for (let count = -1; count !== 0 && length < PROBE_BYTES; length += count)
      count = readSync(fd, bytes, length, PROBE_BYTES - length, null);
    return bytes.toString('latin1', 0, length);
  } finally {
    closeSync(fd);
  }
}
