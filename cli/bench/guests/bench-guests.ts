import { readFileSync } from 'node:fs';
import type { BenchReport } from '../../cluster/bench-report.ts';
import type { ReportLog } from './report-log.ts';

/** Bench guests that run, in processes of their VMM. */
export interface BenchGuests {
  readonly log: ReportLog;
  /** Of the VMM's processes, at this moment. */
  readonly pids: readonly number[];
  end(): Promise<void>;
}

/** Gives the guests to `work` and ends them, whatever comes. Throws the signal's reason as soon as it aborts. */
export async function withGuests<Guests extends BenchGuests, Result>(
  guests: Guests,
  signal: AbortSignal,
  work: (guests: Guests) => Promise<Result>,
): Promise<Result> {
  const abort = () => guests.log.fail(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    signal.throwIfAborted();
    return await work(guests);
  } finally {
    signal.removeEventListener('abort', abort);
    await guests.end();
  }
}

/** Clock ticks per second of /proc: 100 on every Linux (proc(5), sysconf(_SC_CLK_TCK)). */
const TICK_US = 10_000;

/** Processor time of the processes, guests included. */
export function cpu_us(pids: readonly number[]): number {
  return pids.reduce((total, pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // utime and stime are fields 14 and 15, counted from 1; two come before the command's closing parenthesis.
    return total + (Number(fields[11]) + Number(fields[12])) * TICK_US;
  }, 0);
}

export interface Window {
  readonly vm: string;
  readonly workload: string;
  /** Of its reports; the window begins when this has begun to count. */
  readonly counter: string;
  /** Time to get going after that. */
  readonly warmUp_s: number;
  readonly seconds: number;
}

/** What a workload did within a window. */
export interface Measured {
  /** Of the counter, per second. */
  readonly rate: number;
  readonly seconds: number;
  /** Processor time of the VMM's processes. */
  readonly cpu_us: number;
}

/** Measures from now on, by the guest's own clock, from report to report. */
export async function measureWindow(guests: BenchGuests, window: Window): Promise<Measured> {
  const { vm, workload, counter, warmUp_s, seconds } = window;
  const past = guests.log.of(vm).length;
  const statAfter = (t_ms: number) => (report: BenchReport) =>
    report.event === 'stat' &&
    report.workload === workload &&
    Number(report[counter]) > 0 &&
    Number(report.t_ms) >= t_ms;
  const working = await guests.log.until(vm, statAfter(0), past);
  const first = await guests.log.until(vm, statAfter(Number(working.t_ms) + warmUp_s * 1000), past);
  const cpuBefore_us = cpu_us(guests.pids);
  // A report comes a little late now and then, never early.
  const last = await guests.log.until(vm, statAfter(Number(first.t_ms) + seconds * 1000 - 50), past);
  const span_s = (Number(last.t_ms) - Number(first.t_ms)) / 1000;
  return {
    rate: (Number(last[counter]) - Number(first[counter])) / span_s,
    seconds: span_s,
    cpu_us: cpu_us(guests.pids) - cpuBefore_us,
  };
}
