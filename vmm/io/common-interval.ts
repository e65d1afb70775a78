/** One timer for all who want to be called every so often: a process with many VMs wakes up once, not once for each. */
export class CommonInterval {
  private readonly period_ms: number;
  private readonly callbacks = new Set<() => void>();
  private timer: NodeJS.Timeout | undefined;

  constructor(period_ms: number) {
    this.period_ms = period_ms;
  }

  /** Calls back until the answer is called. Does not keep the process alive. */
  add(callback: () => void): () => void {
    this.callbacks.add(callback);
    this.timer ??= setInterval(() => {
      for (const each of this.callbacks) each();
    }, this.period_ms).unref();
    return () => {
      this.callbacks.delete(callback);
      if (this.callbacks.size > 0) return;
      clearInterval(this.timer);
      this.timer = undefined;
    };
  }
}
