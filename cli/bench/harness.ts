import { type Summary, summarize } from './statistics.ts';

/** What one round measures, by name; units last in the names (ready_ms). */
export type Sample = Readonly<Record<string, number>>;

/** One of those that are compared. */
export interface Contestant {
  readonly name: string;
  /** One round. What it starts it ends, too. */
  measure(): Promise<Sample>;
}

export interface InterleaveOptions {
  /** Rounds that count; one more comes before them, as a warm-up. */
  readonly rounds: number;
  readonly signal?: AbortSignal | undefined;
  /** Is told what goes on. */
  readonly progress?: ((step: string) => void) | undefined;
}

/** The samples of each contestant, by its name; sample i of all comes from the same round. */
export type Series = ReadonlyMap<string, readonly Sample[]>;

/**
 * Lets the contestants take turns, so that whatever else the machine does meets all alike. The order is turned round
 * from one round to the next: nobody always comes after the same other.
 */
export async function interleave(
  contestants: readonly Contestant[],
  { rounds, signal, progress }: InterleaveOptions,
): Promise<Series> {
  const series = new Map<string, Sample[]>(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    progress?.(round === 0 ? 'warming up' : `round ${round} of ${rounds}`);
    const order = round % 2 === 0 ? contestants : [...contestants].reverse();
    for (const contestant of order) {
      signal?.throwIfAborted();
      const sample = await contestant.measure();
      if (round > 0) series.get(contestant.name)?.push(sample);
    }
  }
  return series;
}

/** One contestant's values of a metric, in the order of the rounds. */
export const valuesOf = (series: Series, contestant: string, metric: string): number[] =>
  (series.get(contestant) ?? []).flatMap(sample => {
    const value = sample[metric];
    return value === undefined ? [] : [value];
  });

/** Summaries of all metrics of a contestant. */
export function summarizeAll(series: Series, contestant: string): Record<string, Summary> {
  const metrics = new Set((series.get(contestant) ?? []).flatMap(Object.keys));
  return Object.fromEntries(
    [...metrics].map(metric => [metric, summarize(valuesOf(series, contestant, metric))]),
  );
}

/** How a metric of `of` stands to that of `to`, round by round; undefined unless both have it. */
export function ratio(series: Series, metric: string, of: string, to: string): Summary | undefined {
  const samples = series.get(to) ?? [];
  const ratios = (series.get(of) ?? []).flatMap((sample, round) => {
    const above = sample[metric];
    const below = samples[round]?.[metric];
    return above === undefined || below === undefined || below === 0 ? [] : [above / below];
  });
  return ratios.length === 0 ? undefined : summarize(ratios);
}
