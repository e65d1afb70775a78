import type { SnapshotProgress } from '../cluster/snapshots.ts';

interface Row {
  cut: string;
  saved: string;
  faults: string;
  done: boolean;
}

/** One row for each VM on a terminal, rewritten in place; nothing elsewhere. */
export class SnapshotRows {
  private readonly rows = new Map<string, Row>();
  private drawn = false;
  private readonly isTerminal = process.stderr.isTTY === true;

  constructor(vms: readonly string[]) {
    for (const vm of vms) this.rows.set(vm, { cut: 'waiting', saved: '', faults: '', done: false });
  }

  show(progress: SnapshotProgress): void {
    const row = this.rows.get(progress.vm);
    if (row === undefined) return;
    switch (progress.kind) {
      case 'cut':
        row.cut = `${(progress.downtime_us / 1000).toFixed(2)} ms`;
        break;
      case 'saving':
        row.saved = `${Math.floor((100 * progress.saved) / Math.max(progress.total, 1))} %`;
        row.faults = `${progress.faults} faults`;
        break;
      case 'saved':
        row.saved = '100 %';
        row.done = true;
        break;
    }
    this.draw();
  }

  /** The rows make room for the result. */
  end(): void {
    if (this.isTerminal && this.drawn) process.stderr.write(`\x1b[${this.rows.size}A\x1b[J`);
    this.drawn = false;
  }

  private draw(): void {
    if (!this.isTerminal) return;
    const width = Math.max(...[...this.rows.keys()].map(name => name.length));
    const lines = [...this.rows].map(
      ([name, { cut, saved, faults, done }]) =>
        `  ${name.padEnd(width)}  cut ${cut.padStart(9)}  saved ${saved.padStart(5)}  ${faults.padStart(12)}  ${done ? 'done' : ''}`,
    );
    const up = this.drawn ? `\x1b[${this.rows.size}A` : '';
    process.stderr.write(`${up}${lines.map(line => `\x1b[2K${line}\n`).join('')}`);
    this.drawn = true;
  }
}
