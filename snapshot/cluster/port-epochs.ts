import { OUTSIDE } from './filter.ts';

/**
 * The epoch of every port of a switch, one word each in shared memory. A word is raised by the thread that cuts the
 * VM, which holds the lock of the port's device then, and when an attempt is aborted; the switch's thread reads it
 * under the device's lock. Sequentially consistent, and it never goes down: of two that raise, the later one changes
 * nothing.
 */
export class PortEpochs {
  readonly buffer: SharedArrayBuffer;
  private readonly words: Int32Array;

  static allocate(portCount: number): SharedArrayBuffer {
    return new SharedArrayBuffer(portCount * Int32Array.BYTES_PER_ELEMENT);
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
  }

  of(port: number): number {
    return Atomics.load(this.words, port);
  }

  /** Raises the port to `epoch`, unless it is there or further, or leads outside. */
  raise(port: number, epoch: number): void {
    for (let seen = this.of(port); seen !== OUTSIDE && seen < epoch; ) {
      const before = Atomics.compareExchange(this.words, port, seen, epoch);
      if (before === seen) return;
      seen = before;
    }
  }

  /** For a port that is plugged in, while no frame can flow through it: sets it, OUTSIDE included. */
  assign(port: number, epoch: number): void {
    Atomics.store(this.words, port, epoch);
  }
}
