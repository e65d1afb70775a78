/**
 * The epoch of every port of a switch, one word each in shared memory. A word is raised by the thread that cuts the
 * VM (which holds the lock of the port's device then), and by the switch's thread when an attempt is aborted; it is
 * read by the switch's thread under the device's lock. Sequentially consistent, and it never goes down: whoever of the two comes later changes nothing.
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

  /** Raises the port to `epoch`, unless it is there or further. */
  raise(port: number, epoch: number): void {
    for (let seen = Atomics.load(this.words, port); seen < epoch; ) {
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
