/** A line that the bench guest speaks: one JSON object with the key "event" (docs/cli.md, "Bench guest"). */
export interface BenchReport {
  readonly event: string;
  readonly [field: string]: unknown;
}

const LONGEST_REPORT = 4096;

/** Undefined for every other line. */
export function parseBenchReport(line: string): BenchReport | undefined {
  if (!line.startsWith('{') || line.length > LONGEST_REPORT) return undefined;
  try {
    const report = JSON.parse(line) as BenchReport;
    return typeof report.event === 'string' ? report : undefined;
  } catch {
    return undefined;
  }
}
