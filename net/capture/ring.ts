import type { ScatterList } from '../../vmm/devices/virtio/net/scatter-list.ts';
import { backend } from '../../vmm/ffi/index.ts';

/**
 * A byte queue in shared memory, from the net thread to the control thread. Positions count bytes modulo 2^32; each
 * is written by one side only.
 */
const Word = { READ: 0, WRITTEN: 1 } as const;
const HEADER_BYTES = 64;

export class CaptureRing {
  readonly buffer: SharedArrayBuffer;
  private readonly words: Int32Array;
  private readonly data: Uint8Array;
  private readonly address: number;

  /** `capacity` is a power of two. */
  static allocate(capacity: number): SharedArrayBuffer {
    return new SharedArrayBuffer(HEADER_BYTES + capacity);
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer, 0, HEADER_BYTES / 4);
    this.data = new Uint8Array(buffer, HEADER_BYTES);
    this.address = backend.addressOf(this.data);
  }

  get length(): number {
    return (Atomics.load(this.words, Word.WRITTEN) - Atomics.load(this.words, Word.READ)) >>> 0;
  }

  /** Producer: puts where the next `length` bytes go into `into`; false when they, and `spare` more, have no room. */
  reserve(length: number, into: ScatterList, spare = 0): boolean {
    into.reset();
    if (length + spare > this.data.length - this.length) return false;
    const start = (Atomics.load(this.words, Word.WRITTEN) >>> 0) % this.data.length;
    const head = Math.min(length, this.data.length - start);
    into.append(this.address + start, head);
    if (head < length) into.append(this.address, length - head);
    return true;
  }

  /** Producer: shows the bytes to the consumer. */
  commit(length: number): void {
    Atomics.store(this.words, Word.WRITTEN, (Atomics.load(this.words, Word.WRITTEN) + length) | 0);
  }

  /** Consumer: a copy of what is there, at most `maximum` bytes. */
  take(maximum: number): Uint8Array {
    const read = Atomics.load(this.words, Word.READ);
    const start = (read >>> 0) % this.data.length;
    const out = new Uint8Array(Math.min(this.length, maximum));
    const head = Math.min(out.length, this.data.length - start);
    out.set(this.data.subarray(start, start + head));
    out.set(this.data.subarray(0, out.length - head), head);
    Atomics.store(this.words, Word.READ, (read + out.length) | 0);
    return out;
  }
}
