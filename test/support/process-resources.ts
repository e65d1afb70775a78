import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface ProcessResources {
  readonly threads: number;
  /** What each descriptor refers to, sorted. */
  readonly descriptors: readonly string[];
  /** Mappings of KVM's shared vCPU pages. */
  readonly vcpuMappings: number;
  /** Writable anonymous mappings of at least `largeMapping_bytes`: guest RAM. */
  readonly largeMappings: number;
}

const LARGE_MAPPING_BYTES = 32 * 2 ** 20;

/** What this process holds of the kernel. V8 maps and unmaps as it likes, so small mappings do not count. */
export function processResources(): ProcessResources {
  const mappings = readFileSync('/proc/self/maps', 'utf8').trimEnd().split('\n');
  return {
    threads: readdirSync('/proc/self/task').filter(isAlive).length,
    descriptors: readdirSync('/proc/self/fd').map(target).sort(),
    vcpuMappings: mappings.filter(line => line.includes('kvm-vcpu')).length,
    largeMappings: mappings.filter(isLargeAnonymous).length,
  };
}

/** PF_EXITING of include/linux/sched.h. */
const EXITING = 0x4;

/** A thread that has been joined stays among the tasks for a moment. */
function isAlive(thread: string): boolean {
  try {
    // proc_pid_stat(5): the name, in parentheses, may hold anything; the flags are the seventh field after it.
    const [, fields = ''] = /.*\) (.*)/s.exec(readFileSync(`/proc/self/task/${thread}/stat`, 'utf8')) ?? [];
    return (Number(fields.split(' ')[6]) & EXITING) === 0;
  } catch {
    return false;
  }
}

function target(fd: string): string {
  try {
    // Numbers of sockets and pipes differ from one to the next.
    return readlinkSync(`/proc/self/fd/${fd}`).replace(/\d+/g, '');
  } catch {
    return 'gone';
  }
}

function isLargeAnonymous(line: string): boolean {
  const [range = '', permissions, , device] = line.split(/ +/);
  const [start = 0, end = 0] = range.split('-').map(text => Number.parseInt(text, 16));
  return permissions === 'rw-p' && device === '00:00' && end - start >= LARGE_MAPPING_BYTES;
}
