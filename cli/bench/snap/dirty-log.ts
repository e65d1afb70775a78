import { type BenchReport, parseBenchReport } from '../../cluster/bench-report.ts';
import { LineAssembler } from '../../cluster/line-assembler.ts';

interface Point {
  /** Guest time and when its line was heard here, in ms. */
  readonly guest_ms: number;
  readonly heard_ms: number;
  readonly writes: number;
}

/** The page writes that a guest's `dirty` workload has told of, over time. */
export class DirtyLog {
  /** Longest gap between two writes that the last line told, in microseconds. */
  private readonly points: Point[] = [];
  private readonly gaps: { readonly heard_ms: number; readonly gap_us: number }[] = [];
  private readonly lines = new LineAssembler(line => this.take(line));
  private waiting: (() => void)[] = [];

  push(bytes: Uint8Array): void {
    this.lines.push(bytes);
  }

  /** Resolves when the next line has come. */
  next(): Promise<void> {
    return new Promise(resolve => this.waiting.push(resolve));
  }

  /** Page writes told so far. */
  get writes(): number {
    return this.points.at(-1)?.writes ?? 0;
  }

  /** Writes a second over the last `window_ms`. */
  rate(window_ms: number): number {
    const last = this.points.at(-1);
    const first = this.points.find(
      point => last !== undefined && last.guest_ms - point.guest_ms <= window_ms,
    );
    if (first === undefined || last === undefined || first === last) return 0;
    return ((last.writes - first.writes) * 1000) / (last.guest_ms - first.guest_ms);
  }

  /**
   * Writes that are missing between two instants of this process, against an undisturbed `rate`: the nearest lines
   * around them count.
   */
  missing(from_ms: number, to_ms: number, rate: number): number {
    const first = this.points.findLast(point => point.heard_ms <= from_ms) ?? this.points[0];
    const last = this.points.find(point => point.heard_ms >= to_ms) ?? this.points.at(-1);
    if (first === undefined || last === undefined) return Number.NaN;
    const expected = (rate * (last.guest_ms - first.guest_ms)) / 1000;
    return Math.max(0, expected - (last.writes - first.writes));
  }

  /** The longest gap told between two instants, in microseconds. */
  longestGap_us(from_ms: number, to_ms: number): number {
    const told = this.gaps.filter(({ heard_ms }) => heard_ms >= from_ms && heard_ms <= to_ms + 1000);
    return Math.max(0, ...told.map(({ gap_us }) => gap_us));
  }

  private take(line: string): void {
    const report: BenchReport | undefined = parseBenchReport(line);
    if (report?.event !== 'stat' || report.workload !== 'dirty') return;
    const heard_ms = performance.now();
    this.points.push({ guest_ms: Number(report.t_ms), heard_ms, writes: Number(report.ops) });
    this.gaps.push({ heard_ms, gap_us: Number(report.gap_us_max) });
    for (const wake of this.waiting.splice(0)) wake();
  }
}
