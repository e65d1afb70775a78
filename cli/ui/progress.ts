import { wantsColor } from './color.ts';

/** One line on stderr that says what is going on: rewritten in place on a terminal, else a line for each step. */
export class Progress {
  private readonly title: string;
  private readonly inPlace = wantsColor(process.stderr);
  private shown = false;

  constructor(title: string) {
    this.title = title;
  }

  step(text: string): void {
    const line = `${this.title}: ${text} ...`;
    process.stderr.write(this.inPlace ? `\r\x1b[K${line}` : `${line}\n`);
    this.shown = true;
  }

  /** Leaves `text` as the last word, or with none, nothing. */
  end(text?: string): void {
    if (this.shown && this.inPlace) process.stderr.write('\r\x1b[K');
    if (text !== undefined) process.stderr.write(`${this.title}: ${text}\n`);
    this.shown = false;
  }
}
