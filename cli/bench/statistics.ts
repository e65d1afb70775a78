/** What is said about a series of measurements. All in the unit of the measurements. */
export interface Summary {
  readonly count: number;
  readonly minimum: number;
  readonly median: number;
  readonly p99: number;
  /** Median absolute deviation: half of the values lie within so much of the median. */
  readonly mad: number;
}

/** The value below which a share of `share` of the sorted values lies (nearest rank). NaN of an empty series. */
export function quantile(sorted: readonly number[], share: number): number {
  const rank = Math.ceil(share * sorted.length) - 1;
  return sorted[Math.min(sorted.length - 1, Math.max(0, rank))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  const sorted = ascending(values);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[(sorted.length >> 1) - 1] ?? Number.NaN)) / 2;
}

export function summarize(values: readonly number[]): Summary {
  const sorted = ascending(values);
  const middle = median(sorted);
  return {
    count: sorted.length,
    minimum: sorted[0] ?? Number.NaN,
    median: middle,
    p99: quantile(sorted, 0.99),
    mad: median(sorted.map(value => Math.abs(value - middle))),
  };
}

const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

/** The straight line with the least squares of errors through points [x, y]; NaN for fewer than two different x. */
export function linearFit(points: readonly (readonly [number, number])[]): {
  slope: number;
  intercept: number;
} {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const middleX = mean(points.map(([x]) => x));
  const middleY = mean(points.map(([, y]) => y));
  const covariance = mean(points.map(([x, y]) => (x - middleX) * (y - middleY)));
  const slope = covariance / mean(points.map(([x]) => (x - middleX) ** 2));
  return { slope, intercept: middleY - slope * middleX };
}
