const CAPACITY_BYTES = 64 * 1024;
const SHOWN_LINES = 24;
const LINE_FEED = 0x0a;
/** What programs send before they paint a screen: "erase all" (ECMA-48, ED 2) and "reset" (RIS). */
const CLEAR_SCREEN = ['\x1b[2J', '\x1bc'];

/** The last bytes of a console, so that whoever attaches to it sees what is on its screen. */
export class ReplayBuffer {
  private readonly ring = Buffer.alloc(CAPACITY_BYTES);
  private written = 0;

  push(bytes: Uint8Array): void {
    const tail = bytes.subarray(Math.max(0, bytes.length - CAPACITY_BYTES));
    const at = (this.written + bytes.length - tail.length) % CAPACITY_BYTES;
    const first = Math.min(tail.length, CAPACITY_BYTES - at);
    this.ring.set(tail.subarray(0, first), at);
    this.ring.set(tail.subarray(first), 0);
    this.written += bytes.length;
  }

  /** The last screen: what follows the last clearing of it, or else the last lines. */
  lastScreen(): Buffer {
    const all = this.content();
    const cleared = Math.max(...CLEAR_SCREEN.map(sequence => all.lastIndexOf(sequence)));
    if (cleared >= 0) return all.subarray(cleared);
    let start = all.length;
    for (let lines = 0; lines <= SHOWN_LINES && start > 0; lines++) {
      const lineFeed = start < 2 ? -1 : all.lastIndexOf(LINE_FEED, start - 2);
      // What is left of a line whose beginning was overwritten is shown only if there is nothing else.
      if (lineFeed < 0 && lines > 0 && this.written > CAPACITY_BYTES) break;
      start = lineFeed + 1;
    }
    return all.subarray(start);
  }

  private content(): Buffer {
    if (this.written <= CAPACITY_BYTES) return Buffer.from(this.ring.subarray(0, this.written));
    const at = this.written % CAPACITY_BYTES;
    return Buffer.concat([this.ring.subarray(at), this.ring.subarray(0, at)]);
  }
}
