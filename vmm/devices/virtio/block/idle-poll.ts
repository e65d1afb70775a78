/** Longer than a guest takes from one request to the next when it waits for each; KVM polls as long for a halted vCPU. */
const MAXIMUM_US = 200;
const MINIMUM_US = 20;
/** One look at the queue that took this long was interrupted: somebody else wants the processor. */
const PREEMPTED_US = 100;
const SHORTEST_REST_US = 20_000;
const LONGEST_REST_US = 1_000_000;
/** After so many successes in a row the processor is no longer thought to be crowded. */
const SUCCESSES = 256;

/**
 * How long to look for the next request before sleeping: waking a thread costs more than serving a request. When
 * requests come soon after one another the window grows to cover the pause between them; when they do not, it shrinks
 * to nothing. A thread that is preempted while it polls does not poll for a while, longer each time: other threads
 * (vCPUs!) have better use for the processor.
 */
export class IdlePoll {
  private readonly now_us: () => number;
  private window_us = 0;
  private idleSince_us = 0;
  private restsUntil_us = 0;
  private rest_us = SHORTEST_REST_US;
  private successes = 0;

  constructor(now_us: () => number = () => performance.now() * 1000) {
    this.now_us = now_us;
  }

  /** Whether polling is worth while now. */
  get isWanted(): boolean {
    return this.window_us > 0 && this.now_us() >= this.restsUntil_us;
  }

  /** All requests are served. */
  idle(): void {
    this.idleSince_us = this.now_us();
  }

  /** Asks `hasWork` until it says so (true) or the window is over (false). */
  poll(hasWork: () => boolean): boolean {
    const end = this.idleSince_us + this.window_us;
    for (let before = this.now_us(); ; ) {
      const found = hasWork();
      const now = this.now_us();
      if (now - before > PREEMPTED_US) {
        this.rest(now);
        return found;
      }
      if (found) {
        if (++this.successes === SUCCESSES) this.rest_us = SHORTEST_REST_US;
        return true;
      }
      if (now >= end) return false;
      before = now;
    }
  }

  /** A notification came while the thread slept. */
  woke(): void {
    const idle_us = this.now_us() - this.idleSince_us;
    if (idle_us < MAXIMUM_US) this.window_us = Math.min(MAXIMUM_US, Math.max(MINIMUM_US, 2 * idle_us));
    else this.window_us = this.window_us > MINIMUM_US ? this.window_us / 2 : 0;
  }

  private rest(now: number): void {
    this.window_us = 0;
    this.successes = 0;
    this.restsUntil_us = now + this.rest_us;
    this.rest_us = Math.min(LONGEST_REST_US, 2 * this.rest_us);
  }
}
