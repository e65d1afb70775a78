import { readdirSync, readFileSync } from 'node:fs';

/** What the threads of processes have used so far. */
export interface ThreadUsage {
  /** Processor time, guests included. */
  readonly cpu_us: number;
  /** Times that a thread went to sleep: each is a wake-up. */
  readonly sleep_count: number;
  readonly thread_count: number;
}

/**
 * Reads /proc/PID/task: its schedstat tells nanoseconds (Documentation/scheduler/sched-stats.rst), where stat only tells
 * ticks of 10 ms, too coarse for what is idle.
 */
export function threadUsage(pids: readonly number[]): ThreadUsage {
  let cpu_ns = 0;
  let sleep_count = 0;
  let thread_count = 0;
  for (const pid of pids) {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      try {
        cpu_ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
        const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8');
        sleep_count += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1] ?? 0);
        thread_count++;
      } catch {
        // A thread that has ended meanwhile.
      }
    }
  }
  return { cpu_us: cpu_ns / 1000, sleep_count, thread_count };
}
