/** A line that gets longer is cut here: a guest may never end one. */
const LONGEST_LINE = 8192;
/** A line without end, such as a prompt, is passed on when nothing follows for this long. */
const IDLE_MS = 250;

/** Makes lines of a guest's console bytes, which come in pieces and in any encoding. */
export class LineAssembler {
  private readonly onLine: (line: string) => void;
  private readonly decoder = new TextDecoder('utf-8');
  private pending = '';
  private timer: NodeJS.Timeout | undefined;

  constructor(onLine: (line: string) => void) {
    this.onLine = onLine;
  }

  push(bytes: Uint8Array): void {
    const lines = (this.pending + this.decoder.decode(bytes, { stream: true })).split('\n');
    this.pending = lines.pop() as string;
    for (const line of lines) this.emit(line);
    while (this.pending.length > LONGEST_LINE) {
      this.emit(this.pending.slice(0, LONGEST_LINE));
      this.pending = this.pending.slice(LONGEST_LINE);
    }
    if (this.pending !== '') this.armTimer();
  }

  /** Passes on a line that has not ended. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.pending === '') return;
    this.emit(this.pending);
    this.pending = '';
  }

  private emit(text: string): void {
    const line = text.endsWith('\r') ? text.slice(0, -1) : text;
    for (let start = 0; start === 0 || start < line.length; start += LONGEST_LINE) {
      this.onLine(line.slice(start, start + LONGEST_LINE));
    }
  }

  private armTimer(): void {
    if (this.timer === undefined) {
      this.timer = setTimeout(() => this.flush(), IDLE_MS);
      this.timer.unref();
    } else {
      this.timer.refresh();
    }
  }
}
