import { readFileSync } from 'node:fs';

/** Names a process for good: ids are used again, a start time with the same id is not. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since the host's boot (proc(5), /proc/pid/stat, field 22). */
  readonly start_ticks: number;
}

export const ownIdentity = (): ProcessIdentity => ({
  pid: process.pid,
  start_ticks: startTicks(process.pid) ?? 0,
});

export const isAlive = ({ pid, start_ticks }: ProcessIdentity): boolean => startTicks(pid) === start_ticks;

/** Undefined when there is no such process, or when it has ended and only waits to be reaped. */
function startTicks(pid: number): number | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field, the command's name, may contain anything: count from its closing parenthesis.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19]);
}
