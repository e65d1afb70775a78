import { TsvmmError } from '../vmm/errors.ts';
import { Random } from './random.ts';

/** How bad a link is. Everything is optional: what is left out is perfect. */
export interface ImpairmentConfig {
  readonly delay_us?: number;
  /** The delay varies by up to this much, evenly, in both directions. */
  readonly jitter_us?: number;
  /** Probability that a frame is lost. */
  readonly loss?: number;
  readonly rate_bits_per_second?: number;
  /** Lets jitter change the order of frames; a link that is a single wire does not. */
  readonly reorder?: boolean;
  readonly seed?: number;
}

const MAXIMUM_DELAY_US = 60_000_000;

/** Throws TSVMM_E_CONFIG when a value is out of its range. */
export function validateImpairment(config: ImpairmentConfig): void {
  const { delay_us = 0, jitter_us = 0, loss = 0, rate_bits_per_second = 1, seed = 0 } = config;
  const within = (value: number, low: number, high: number) => value >= low && value <= high;
  const wrong = [
    within(delay_us, 0, MAXIMUM_DELAY_US) ? undefined : 'delay is between 0 and 60 s',
    within(jitter_us, 0, MAXIMUM_DELAY_US) ? undefined : 'jitter is between 0 and 60 s',
    within(loss, 0, 1) ? undefined : 'loss is between 0 and 1',
    within(rate_bits_per_second, 1, 1e12) ? undefined : 'rate is between 1 bit/s and 1 Tbit/s',
    Number.isSafeInteger(seed) ? undefined : 'seed is a whole number',
  ].filter(text => text !== undefined);
  if (wrong.length > 0) throw new TsvmmError('TSVMM_E_CONFIG', `impairment: ${wrong.join(', ')}`);
}

export const LOST = -1;

/** Decides when each frame of one link arrives. A pure function of the seed, the times and the lengths. */
export class Impairment {
  private readonly delay_us: number;
  private readonly jitter_us: number;
  private readonly loss: number;
  private readonly us_per_byte: number;
  private readonly reorder: boolean;
  private readonly random: Random;
  /** When the link is done with the frames before. */
  private free_us = 0;
  private last_us = 0;

  constructor(config: ImpairmentConfig) {
    this.delay_us = config.delay_us ?? 0;
    this.jitter_us = config.jitter_us ?? 0;
    this.loss = config.loss ?? 0;
    this.us_per_byte = config.rate_bits_per_second === undefined ? 0 : 8e6 / config.rate_bits_per_second;
    this.reorder = config.reorder ?? false;
    this.random = new Random(config.seed ?? 1);
  }

  /** When a frame sent now arrives, or LOST. A lost frame has used the link, too. */
  arrival_us(length: number, now_us: number): number {
    this.free_us = Math.max(this.free_us, now_us) + length * this.us_per_byte;
    if (this.loss > 0 && this.random.next() < this.loss) return LOST;
    const jitter_us = this.jitter_us === 0 ? 0 : (2 * this.random.next() - 1) * this.jitter_us;
    const arrival_us = this.free_us + Math.max(0, this.delay_us + jitter_us);
    if (this.reorder) return arrival_us;
    this.last_us = Math.max(this.last_us, arrival_us);
    return this.last_us;
  }
}
