/** Longer than a guest takes to answer a request; as long as KVM itself polls for a halted vCPU. */
const MAXIMUM_US = 200;
const MINIMUM_US = 10;
/** A pass of polling that took this long was interrupted: somebody else wants the processor. */
const PREEMPTED_US = 150;
const REST_US = 20_000;

/**
 * How long to poll before sleeping, found by trial: polling that finds work, or a sleep that was short, makes it longer;
 * polling in vain makes it shorter, down to none. When the thread is preempted while it polls, other threads (vCPUs!)
 * have better use for the processor, and polling rests for a while. An idle switch does not poll at all.
 */
export class PollWindow {
  private length_us = 0;
  private workedAt_us = 0;
  private sleptAt_us = 0;
  private passedAt_us = 0;
  private restsUntil_us = 0;

  /** Whether ports should be polled now instead of being asked to notify. */
  isOpen(now_us: number): boolean {
    return this.length_us > 0 && now_us >= this.restsUntil_us && now_us - this.workedAt_us < this.length_us;
  }

  /** Whether a port that has nothing to send should be polled. */
  wantsPorts(now_us: number): boolean {
    return this.length_us > 0 && now_us >= this.restsUntil_us;
  }

  /** A pass of polling begins; `found` says whether there is work. */
  polled(now_us: number, found: boolean): void {
    if (now_us - this.passedAt_us > PREEMPTED_US) {
      this.length_us = 0;
      this.restsUntil_us = now_us + REST_US;
    } else if (found) {
      this.grow();
    }
  }

  /** A pass is over; `worked` says whether anything was done in it. */
  passed(now_us: number, worked: boolean): void {
    this.passedAt_us = now_us;
    if (worked) this.workedAt_us = now_us;
  }

  slept(now_us: number): void {
    this.sleptAt_us = now_us;
  }

  woke(now_us: number): void {
    if (now_us - this.sleptAt_us < MAXIMUM_US) this.grow();
    else this.length_us = this.length_us > MINIMUM_US ? this.length_us / 2 : 0;
  }

  private grow(): void {
    this.length_us = Math.min(MAXIMUM_US, Math.max(MINIMUM_US, this.length_us * 2));
  }
}
