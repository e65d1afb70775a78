import type { BenchTable } from '../report.ts';
import type { Summary } from '../statistics.ts';
import { p99, show } from './cells.ts';

export type Metrics = Record<string, Summary>;

/** What a table shows of each contestant. */
export interface Column {
  readonly heading: string;
  readonly cell: (metrics: Metrics) => string;
}

export const medianOf = (heading: string, metric: string, scale = 1, digits = 2): Column => ({
  heading,
  cell: metrics => show(metrics[metric], scale, digits),
});

export const p99Of = (metric: string, scale = 1, digits = 2): Column => ({
  heading: 'P99',
  cell: metrics => p99(metrics[metric], scale, digits),
});

/** Those that more than one table has. */
export const column = {
  downtime: medianOf('DOWN ms', 'downtime_us', 1000),
  downtimeP99: p99Of('downtime_us', 1000),
  saved: medianOf('SAVED ms', 'saved_ms', 1, 0),
  durable: medianOf('DURABLE ms', 'durable_ms', 1, 0),
  lostWork: medianOf('LOST WORK ms', 'lost_ms', 1, 0),
  gap: medianOf('GAP ms', 'guest_gap_us', 1000, 1),
  longestStall: medianOf('STALL MAX ms', 'stall_us_max', 1000),
  longestStallP99: p99Of('stall_us_max', 1000),
  faults: medianOf('FAULTS', 'cow_faults', 1, 0),
  bufferWaits: medianOf('BUFFER WAITS', 'buffer_waits', 1, 0),
  written: medianOf('MiB', 'written_mib', 1, 0),
} satisfies Record<string, Column>;

/** A row for each contestant. */
export const tableOf = (
  title: string,
  all: Record<string, Metrics>,
  columns: readonly Column[],
): BenchTable => ({
  title,
  headings: ['', ...columns.map(({ heading }) => heading)],
  rows: Object.entries(all).map(([name, metrics]) => [name, ...columns.map(({ cell }) => cell(metrics))]),
});
