import { print, printJson } from '../ui/output.ts';
import { styledTable } from '../ui/table.ts';
import { describeHost, hostFacts } from './host-facts.ts';

export interface BenchTable {
  readonly title: string;
  readonly headings: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A goal of ours and what came of it. */
export interface Goal {
  readonly goal: string;
  readonly measured: string;
  readonly reached: boolean;
}

export interface BenchReport {
  readonly bench: string;
  readonly rounds: number;
  /** All numbers, for programs. */
  readonly results: unknown;
  readonly goals: readonly Goal[];
  /** The same for people. */
  readonly tables: readonly BenchTable[];
  readonly notes?: readonly string[];
}

export function printReport(report: BenchReport, format: 'text' | 'json'): void {
  const host = hostFacts();
  const { tables, notes = [], ...numbers } = report;
  if (format === 'json') {
    printJson({ ...numbers, host, notes });
    return;
  }
  print(`${report.bench}: medians of ${report.rounds} interleaved rounds, ± median absolute deviation`);
  print(describeHost(host));
  if (host.load > host.cpu_count) print('The machine is busy: trust the ratios more than the times.');
  for (const { title, headings, rows } of tables) {
    print(`\n${title}`);
    print(styledTable(headings, rows, { align: headings.map((_, i) => (i === 0 ? 'left' : 'right')) }));
  }
  if (report.goals.length > 0) print('');
  for (const { goal, measured, reached } of report.goals) {
    print(`${reached ? 'reached' : 'MISSED '}  ${goal}: ${measured}`);
  }
  for (const note of notes) print(`note: ${note}`);
}
