import { setTimeout as sleep } from 'node:timers/promises';
import { TsvmmError } from '../../../vmm/errors.ts';
import { type BenchReport, parseBenchReport } from '../../cluster/bench-report.ts';

const LIMIT_MS = 120_000;
const LOOK_MS = 20;

/** What the bench guests of a contestant have said, VM by VM. */
export class ReportLog {
  private readonly reports = new Map<string, BenchReport[]>();
  private failure: unknown;

  /** A line of a guest's console. */
  take(vm: string, line: string): void {
    const report = parseBenchReport(line.trim());
    if (report === undefined) return;
    const list = this.reports.get(vm) ?? [];
    list.push(report);
    this.reports.set(vm, list);
    if (report.event === 'fatal') this.fail(failure(`${vm} gave up: ${String(report.why)}`));
  }

  /** Whoever waits gets this error, unless there was one before. */
  fail(error: unknown): void {
    this.failure ??= error;
  }

  /** For those who wait by other means. */
  throwIfFailed(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  /** How many reports of this kind have come, of all guests. */
  count(event: string): number {
    return [...this.reports.values()].reduce(
      (sum, list) => sum + list.filter(report => report.event === event).length,
      0,
    );
  }

  of(vm: string): readonly BenchReport[] {
    return this.reports.get(vm) ?? [];
  }

  /**
   * The first report that matches, but for the first `skip`, once it has come; rejects when a guest has failed, or
   * after two minutes.
   */
  async until(vm: string, matches: (report: BenchReport) => boolean, skip = 0): Promise<BenchReport> {
    const deadline_ms = performance.now() + LIMIT_MS;
    for (;;) {
      const found = this.of(vm).slice(skip).find(matches);
      if (found !== undefined) return found;
      if (this.failure !== undefined) throw this.failure;
      if (performance.now() > deadline_ms) {
        throw new TsvmmError('TSVMM_E_TIMEOUT', `${vm} does not report what the bench waits for`);
      }
      await sleep(LOOK_MS);
    }
  }
}

export const failure = (why: string, cause?: unknown): TsvmmError =>
  new TsvmmError('TSVMM_E_INTERNAL', why, { cause });

/** Splits what comes in pieces into lines. */
export class LineSplitter {
  private partial = '';

  /** The lines that are complete with this piece. */
  add(text: string): string[] {
    const lines = (this.partial + text).split('\n');
    this.partial = lines.pop() ?? '';
    return lines;
  }
}
