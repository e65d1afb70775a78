import { type InterleaveOptions, interleave, type Sample, type Series } from '../harness.ts';

/** One of those that are compared, at each of several works. */
export interface WorkContestant<Work> {
  readonly name: string;
  measure(work: Work): Promise<Sample>;
}

/**
 * As interleave(), work by work: so what is compared is measured within seconds. The samples of a round hold the
 * metrics of all works.
 */
export async function interleaveWorks<Work extends { readonly title: string }>(
  contestants: readonly WorkContestant<Work>[],
  works: readonly Work[],
  { progress, ...options }: InterleaveOptions,
): Promise<Series> {
  const merged = new Map<string, Sample[]>(contestants.map(({ name }) => [name, []]));
  for (const work of works) {
    const series = await interleave(
      contestants.map(({ name, measure }) => ({ name, measure: () => measure(work) })),
      { ...options, progress: step => progress?.(`${work.title}: ${step}`) },
    );
    for (const [name, samples] of series) {
      const all = merged.get(name) as Sample[];
      for (const [round, sample] of samples.entries()) all[round] = { ...all[round], ...sample };
    }
  }
  return merged;
}
