import { readFileSync } from 'node:fs';
import { humanSize } from '../ui/units.ts';
import { type Check, type Finding, pass, warn } from './check.ts';
import { hasCapability, readText } from './privileges.ts';

const MIB = 2 ** 20;
/** A VM takes about two dozen descriptors, a cluster up to a few thousand. */
const ENOUGH_FILES = 4096;
const ENOUGH_MEMORY_BYTES = 512 * MIB;

export const memoryChecks: readonly Check[] = [
  { name: 'memory', run: () => memoryCheck(readFileSync('/proc/meminfo', 'utf8')) },
  {
    name: 'huge pages',
    run: () => hugePagesCheck(readText('/sys/kernel/mm/transparent_hugepage/enabled')),
  },
  { name: 'open files', run: () => openFilesCheck(readFileSync('/proc/self/limits', 'utf8')) },
  { name: 'userfaultfd', run: userfaultfdCheck },
];

export function memoryCheck(meminfo: string): Finding {
  const bytes = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0) * 1024;
  const detail = `${humanSize(bytes)} available`;
  if (bytes >= ENOUGH_MEMORY_BYTES) return pass(detail);
  return warn(detail, 'give the guests little memory, or end other programs');
}

export function hugePagesCheck(setting: string | undefined): Finding {
  const mode = /\[(\w+)\]/.exec(setting ?? '')?.[1];
  if (mode === 'always' || mode === 'madvise') return pass(`transparent huge pages: ${mode}`);
  return warn(
    `transparent huge pages: ${mode ?? 'not supported'}; snapshots pause a VM about 100 times longer`,
    'echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled',
  );
}

export function openFilesCheck(limits: string): Finding {
  // Node raises the soft limit to the hard one when it starts.
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? '0';
  if (hard === 'unlimited' || Number(hard) >= ENOUGH_FILES) return pass(`limit ${hard}`);
  return warn(
    `limit ${hard}: not enough for a large cluster`,
    'raise it: ulimit -Hn 65536, or limits.conf(5)',
  );
}

/** Only the second copy-on-write mechanism needs it. */
function userfaultfdCheck(): Finding {
  const isOpen = readText('/proc/sys/vm/unprivileged_userfaultfd')?.trim() === '1';
  const CAP_SYS_PTRACE = 19;
  if (isOpen || hasCapability(CAP_SYS_PTRACE)) return pass('allowed');
  return warn(
    'not allowed for this user; "tsvmm snap --cow userfaultfd" will not work',
    '--cow mprotect does not need it (where KVM works in software it suits the bench image only); or: sudo sysctl vm.unprivileged_userfaultfd=1',
  );
}
