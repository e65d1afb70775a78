/** Statistics of section 5.5.6.3 that we keep, by their tag: names as users see them. */
export const statisticNames = [
  'swap_in_bytes',
  'swap_out_bytes',
  'major_faults',
  'minor_faults',
  'free_bytes',
  'total_bytes',
  'available_bytes',
  'cache_bytes',
] as const;
export type StatisticName = (typeof statisticNames)[number];

const UNKNOWN = -1;
/** Words of the device's own, guarded by its lock. */
const Word = {
  /** Head of the statistics buffer that waits to be asked for, plus 1. */
  STATISTICS_HEAD: 0,
  /** Counts the statistics that have come. */
  STATISTICS_COUNT: 1,
  STATISTICS: 2,
} as const;

/** What a balloon keeps beyond its transport's state. */
export class BalloonState {
  static readonly words = { session: Word.STATISTICS + 2 * statisticNames.length, lasting: 0 } as const;
  private readonly words: Int32Array;

  /** `words` are VirtioState.own. */
  constructor(words: Int32Array) {
    this.words = words;
  }

  /** The statistics buffer that the driver lent us, or undefined. */
  get statisticsHead(): number | undefined {
    const head = (this.words[Word.STATISTICS_HEAD] as number) - 1;
    return head < 0 ? undefined : head;
  }
  set statisticsHead(head: number | undefined) {
    this.words[Word.STATISTICS_HEAD] = head === undefined ? 0 : head + 1;
  }

  get statisticsCount(): number {
    return Atomics.load(this.words, Word.STATISTICS_COUNT);
  }

  /** Forgets all statistics, before those of a new buffer are put in. */
  clearStatistics(): void {
    this.words.fill(UNKNOWN, Word.STATISTICS, Word.STATISTICS + 2 * statisticNames.length);
  }

  /** Tags that we do not know are left out. */
  putStatistic(tag: number, low: number, high: number): void {
    if (tag >= statisticNames.length) return;
    this.words[Word.STATISTICS + 2 * tag] = low;
    this.words[Word.STATISTICS + 2 * tag + 1] = high;
  }

  publishStatistics(): void {
    Atomics.add(this.words, Word.STATISTICS_COUNT, 1);
  }

  /** Those that the driver knows; none before the first have come. */
  get statistics(): Partial<Record<StatisticName, number>> {
    if (this.statisticsCount === 0) return {};
    const entries = statisticNames.flatMap((name, tag) => {
      const low = this.words[Word.STATISTICS + 2 * tag] as number;
      const high = this.words[Word.STATISTICS + 2 * tag + 1] as number;
      return low === UNKNOWN && high === UNKNOWN ? [] : [[name, (low >>> 0) + (high >>> 0) * 2 ** 32]];
    });
    return Object.fromEntries(entries);
  }
}
