import type { Summary } from '../statistics.ts';

/** A median with its deviation, in units of `scale`. */
export const show = (summary: Summary | undefined, scale = 1, digits = 2): string =>
  summary === undefined
    ? '-'
    : `${(summary.median / scale).toFixed(digits)} ±${(summary.mad / scale).toFixed(digits)}`;

export const p99 = (summary: Summary | undefined, scale = 1, digits = 2): string =>
  summary === undefined ? '-' : (summary.p99 / scale).toFixed(digits);
