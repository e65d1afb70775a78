/** What has to be undone, in reverse order of doing. */
export class Teardown {
  private readonly steps: (() => void | Promise<void>)[] = [];

  add(undo: () => void | Promise<void>): void {
    this.steps.push(undo);
  }

  /** Runs every step once, the last added first, even if some fail; then throws the first failure. */
  async run(): Promise<void> {
    const failures: unknown[] = [];
    for (let step = this.steps.pop(); step !== undefined; step = this.steps.pop()) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
