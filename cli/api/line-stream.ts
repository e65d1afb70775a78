import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** A client that reads slower than we write may leave this much unread before lines are dropped. */
const MOST_BUFFERED_BYTES = 4 * 1024 * 1024;

/** Stands for lines that were dropped. */
export interface DroppedLines {
  readonly dropped: number;
}

/** Lines of JSON to a client. */
export class LineStream {
  /** Aborts when the client has gone, or the server is closing. */
  readonly signal: AbortSignal;
  private readonly response: ServerResponse;
  private readonly controller = new AbortController();
  private dropped = 0;

  constructor(response: ServerResponse) {
    this.response = response;
    this.signal = this.controller.signal;
    response.on('close', () => this.finish());
  }

  /** Asks the handler to come to its end. */
  finish(): void {
    this.controller.abort();
  }

  /** Resolves when the client has read so much that nothing is dropped, or has gone. */
  async room(): Promise<void> {
    const { response, signal } = this;
    while (response.writableLength > MOST_BUFFERED_BYTES && !signal.aborted)
      await once(response, 'drain', { signal }).catch(() => {});
  }

  /** Never blocks: what a slow client leaves no room for is dropped, and the client told how much that was. */
  write(value: unknown): void {
    if (this.response.destroyed) return;
    if (this.response.writableLength > MOST_BUFFERED_BYTES) {
      this.dropped++;
      return;
    }
    if (this.dropped > 0) this.response.write(`${JSON.stringify({ dropped: this.dropped })}\n`);
    this.dropped = 0;
    this.response.write(`${JSON.stringify(value)}\n`);
  }
}
