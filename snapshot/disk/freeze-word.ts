/**
 * How the snapshot's thread switches a disk to its next layer within a pause: it counts a word in shared memory up
 * while it holds the device's lock, so that no request is under way; the disk's thread looks at the word whenever it
 * has taken the lock, before it carries out requests. Nobody waits for the other.
 */
export class FreezeWord {
  readonly buffer: SharedArrayBuffer;
  private readonly words: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
  }

  /** How often the disk was frozen. */
  get count(): number {
    return Atomics.load(this.words, 0);
  }

  /** With the device's lock held, or no device. */
  freeze(): void {
    Atomics.add(this.words, 0, 1);
  }
}
