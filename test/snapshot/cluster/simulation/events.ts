/** Things to do later, in order of time; those of the same instant in the order in which they were planned. */
export class EventQueue {
  private readonly times: number[] = [];
  private readonly orders: number[] = [];
  private readonly actions: (() => void)[] = [];
  private planned = 0;
  now_us: number;

  constructor(now_us: number) {
    this.now_us = now_us;
  }

  after(delay_us: number, action: () => void): void {
    this.at(this.now_us + delay_us, action);
  }

  at(time_us: number, action: () => void): void {
    this.times.push(Math.max(time_us, this.now_us));
    this.orders.push(this.planned++);
    this.actions.push(action);
    let child = this.times.length - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!this.isBefore(child, parent)) break;
      this.swap(child, parent);
      child = parent;
    }
  }

  /** Does the next thing; false when there is none. */
  step(): boolean {
    const last = this.times.length - 1;
    if (last < 0) return false;
    this.swap(0, last);
    this.now_us = this.times.pop() as number;
    this.orders.pop();
    const action = this.actions.pop() as () => void;
    this.sink(last);
    action();
    return true;
  }

  private sink(length: number): void {
    for (let parent = 0; ; ) {
      const left = 2 * parent + 1;
      if (left >= length) return;
      const child = left + 1 < length && this.isBefore(left + 1, left) ? left + 1 : left;
      if (!this.isBefore(child, parent)) return;
      this.swap(child, parent);
      parent = child;
    }
  }

  private isBefore(a: number, b: number): boolean {
    const difference = (this.times[a] as number) - (this.times[b] as number);
    return difference !== 0 ? difference < 0 : (this.orders[a] as number) < (this.orders[b] as number);
  }

  private swap(a: number, b: number): void {
    swapIn(this.times, a, b);
    swapIn(this.orders, a, b);
    swapIn(this.actions, a, b);
  }
}

function swapIn<T>(list: T[], a: number, b: number): void {
  const kept = list[a] as T;
  list[a] = list[b] as T;
  list[b] = kept;
}
