import { TsvmmError } from '../../../vmm/errors.ts';
import type { DroppedLines } from '../../api/line-stream.ts';
import { type BenchReport, parseBenchReport } from '../../cluster/bench-report.ts';
import type { LogLine } from '../../cluster/log-reader.ts';

interface Interval {
  /** On this host's clock. */
  readonly end_ms: number;
  readonly report: BenchReport;
}

/** What the guests of a cluster have reported, each second or as often as `stat=` says, put on the host's clock. */
export class ReportHistory {
  private readonly intervals = new Map<string, Interval[]>();
  /** Host time minus guest time: the smallest difference seen is nearest to the truth, as lines come late, never early. */
  private readonly offsets = new Map<string, number>();
  /** Lines that came faster than we read them: what they have reported is missing. */
  lostLineCount = 0;
  /** A guest has found that a promise was broken. */
  fatal: TsvmmError | undefined;

  take(logged: LogLine | DroppedLines): void {
    if ('dropped' in logged) {
      this.lostLineCount += logged.dropped;
      return;
    }
    const { time, vm, line } = logged;
    const report = parseBenchReport(line);
    if (report?.event === 'fatal')
      this.fatal ??= new TsvmmError('TSVMM_E_GUEST_FATAL', `${vm}: ${String(report.why)}`);
    if (report?.event !== 'stat') return;
    const heard_ms = Date.parse(time);
    const t_ms = Number(report.t_ms);
    const offset = Math.min(this.offsets.get(vm) ?? Number.POSITIVE_INFINITY, heard_ms - t_ms);
    this.offsets.set(vm, offset);
    const key = `${vm} ${String(report.workload)}`;
    const list = this.intervals.get(key) ?? [];
    list.push({ end_ms: t_ms, report });
    this.intervals.set(key, list);
  }

  /** All reports, oldest first. */
  get all(): { readonly vm: string; readonly workload: string; readonly reports: readonly BenchReport[] }[] {
    return [...this.intervals].map(([key, list]) => {
      const [vm = '', workload = ''] = key.split(' ');
      return { vm, workload, reports: list.map(({ report }) => report) };
    });
  }

  /** Of every workload of every VM. */
  get latest(): BenchReport[] {
    return [...this.intervals.values()].flatMap(list => list.slice(-1).map(({ report }) => report));
  }

  /** Whether every workload has reported on the time until `host_ms`. */
  covers(host_ms: number): boolean {
    return [...this.intervals].every(([key, list]) => {
      const last = list.at(-1);
      return last !== undefined && last.end_ms + this.offsetOf(key) >= host_ms;
    });
  }

  /** The longest time without an answer that any client had in a span of the host's clock. */
  longestGap_us(workload: string, from_ms: number, to_ms: number): number {
    let longest_us = 0;
    for (const [key, list] of this.intervals) {
      if (!key.endsWith(` ${workload}`)) continue;
      const offset = this.offsetOf(key);
      for (const [index, { end_ms, report }] of list.entries()) {
        const begin_ms = (list[index - 1]?.end_ms ?? end_ms) + offset;
        if (end_ms + offset > from_ms && begin_ms < to_ms)
          longest_us = Math.max(longest_us, Number(report.gap_us_max));
      }
    }
    return longest_us;
  }

  private offsetOf(key: string): number {
    return this.offsets.get(key.slice(0, key.indexOf(' '))) ?? 0;
  }
}
