import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { TsvmmError } from '../../vmm/errors.ts';
import type { CaptureRing } from './ring.ts';

const INTERVAL_MS = 20;
/** One write to the sink. */
const PIECE_BYTES = 1 << 20;

/**
 * A capture under way, on the control side: carries the pcapng stream from the ring to a sink. When the sink is slow the
 * ring fills up, and frames are dropped and counted; the switch never waits.
 */
export class Capture {
  /** Settles when the capture has ended; rejects with TSVMM_E_NET when the sink failed. */
  readonly ended: Promise<void>;
  private readonly ring: CaptureRing;
  private readonly sink: Writable;
  private readonly stopProducer: () => Promise<void>;
  private stopping = false;
  private wake: () => void = () => {};

  /** `stopProducer` makes the net thread write the end of the stream into the ring. */
  constructor(ring: CaptureRing, sink: Writable, stopProducer: () => Promise<void>) {
    this.ring = ring;
    this.sink = sink;
    this.stopProducer = stopProducer;
    this.ended = this.pump();
    this.ended.catch(() => {});
  }

  /** Ends the stream and the sink. Idempotent. */
  stop(): Promise<void> {
    this.stopping = true;
    this.wake();
    return this.ended;
  }

  private async pump(): Promise<void> {
    try {
      try {
        await this.carry();
      } finally {
        await this.stopProducer();
      }
      await this.drain();
      this.sink.end();
      await once(this.sink, 'finish');
    } catch (cause) {
      throw new TsvmmError('TSVMM_E_NET', 'the capture cannot be written', { cause });
    }
  }

  private async carry(): Promise<void> {
    // A sink that fails between two writes says so by an event; the next write says it again.
    let failure: Error | undefined;
    this.sink.on('error', error => {
      failure = error;
      this.wake();
    });
    while (!this.stopping && failure === undefined) {
      await this.drain();
      await this.rest();
    }
    if (failure !== undefined) throw failure;
  }

  private async drain(): Promise<void> {
    while (this.ring.length > 0) {
      const piece = this.ring.take(PIECE_BYTES);
      if (!this.sink.write(piece)) await once(this.sink, 'drain');
    }
  }

  private rest(): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, INTERVAL_MS);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
