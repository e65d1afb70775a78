import { parseBenchReport } from '../../cluster/bench-report.ts';
import { quantile } from '../statistics.ts';

/** What many samples of one operation came to, as the bench guest and the C program print it. */
export interface Measurement {
  readonly name: string;
  readonly n: number;
  readonly min_ns: number;
  readonly median_ns: number;
  readonly p99_ns: number;
}

/** The measurements among the lines of a console. */
export const parseMeasurements = (text: string): Measurement[] =>
  text
    .split('\n')
    .map(line => parseBenchReport(line.trim()))
    .filter(report => report?.event === 'measure')
    .map(report => report as unknown as Measurement);

/** Takes `count` samples of what `work` answers, in ns. */
export function measure(name: string, count: number, work: () => number): Measurement {
  const samples = Float64Array.from({ length: count }, work).sort();
  return {
    name,
    n: count,
    min_ns: samples[0] ?? Number.NaN,
    median_ns: samples[count >> 1] ?? Number.NaN,
    p99_ns: quantile([...samples], 0.99),
  };
}

const clock = process.hrtime.bigint;

/** Nanoseconds that `work` takes. */
export function duration_ns(work: () => void): number {
  const started = clock();
  work();
  return Number(clock() - started);
}
