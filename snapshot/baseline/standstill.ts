/** Where the VMs of one snapshot wait for each other: none goes on before all have come. */
export class Standstill {
  private expected = 0;
  private release: () => void = () => {};
  private readonly over = new Promise<void>(resolve => {
    this.release = resolve;
  });

  /** One more will come. Before the first does. */
  join(): void {
    this.expected++;
  }

  /** Resolves when all have come, or nobody waits any more. */
  arrive(): Promise<void> {
    this.expected--;
    if (this.expected === 0) this.release();
    return this.over;
  }

  abandon(): void {
    this.release();
  }
}
