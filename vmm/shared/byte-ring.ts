/**
 * A byte queue in shared memory between one producer and one consumer thread. Positions count bytes for ever
 * (modulo 2^32); each is written by one side only. `dropped` counts bytes refused because the ring was full.
 */
const Word = { head: 0, tail: 1, dropped: 2, signalled: 3 } as const;
const HEADER_BYTES = 16;

export class ByteRing {
  readonly buffer: SharedArrayBuffer;
  private readonly words: Int32Array;
  private readonly data: Uint8Array;
  private readonly mask: number;

  /** Bytes of shared memory for a ring that holds `capacity` bytes, a power of two. */
  static allocate(capacity: number): SharedArrayBuffer {
    return new SharedArrayBuffer(HEADER_BYTES + capacity);
  }

  /** The ring may be a part of `buffer`, as long as what allocate() gives. */
  constructor(buffer: SharedArrayBuffer, start = 0, byteLength: number = buffer.byteLength - start) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer, start, HEADER_BYTES / 4);
    this.data = new Uint8Array(buffer, start + HEADER_BYTES, byteLength - HEADER_BYTES);
    this.mask = this.data.length - 1;
  }

  /** Never more than the capacity, whatever the positions say: they may come from a snapshot. */
  get length(): number {
    const length = (Atomics.load(this.words, Word.tail) - Atomics.load(this.words, Word.head)) >>> 0;
    return Math.min(length, this.data.length);
  }

  get free(): number {
    return this.data.length - this.length;
  }

  get droppedBytes(): number {
    return Atomics.load(this.words, Word.dropped) >>> 0;
  }

  /** Producer. False, and counted, when the ring is full. */
  push(byte: number): boolean {
    const tail = Atomics.load(this.words, Word.tail);
    if ((tail - Atomics.load(this.words, Word.head)) >>> 0 > this.mask) {
      Atomics.add(this.words, Word.dropped, 1);
      return false;
    }
    this.data[tail & this.mask] = byte;
    Atomics.store(this.words, Word.tail, (tail + 1) | 0);
    return true;
  }

  /** Producer. As many of the bytes as there is room for; answers how many. */
  pushAll(bytes: Uint8Array): number {
    const tail = Atomics.load(this.words, Word.tail);
    const count = Math.min(bytes.length, this.free);
    const start = tail & this.mask;
    const first = Math.min(count, this.data.length - start);
    this.data.set(bytes.subarray(0, first), start);
    this.data.set(bytes.subarray(first, count), 0);
    Atomics.store(this.words, Word.tail, (tail + count) | 0);
    return count;
  }

  /** Consumer. One byte, or -1. */
  shift(): number {
    const head = Atomics.load(this.words, Word.head);
    if (head === Atomics.load(this.words, Word.tail)) return -1;
    const byte = this.data[head & this.mask] as number;
    Atomics.store(this.words, Word.head, (head + 1) | 0);
    return byte;
  }

  /** Consumer. All bytes there are. */
  drain(): Uint8Array {
    return this.take(this.data.length);
  }

  /** Consumer. At most so many bytes. */
  take(most: number): Uint8Array {
    const out = this.peek(most);
    Atomics.add(this.words, Word.head, out.length);
    return out;
  }

  /** A copy of all bytes there are, or of the first of them, which stay. */
  peek(most: number = this.data.length): Uint8Array {
    const head = Atomics.load(this.words, Word.head);
    const count = Math.min(this.length, most);
    const out = new Uint8Array(count);
    const start = head & this.mask;
    const first = Math.min(count, this.data.length - start);
    out.set(this.data.subarray(start, start + first));
    out.set(this.data.subarray(0, count - first), first);
    return out;
  }

  /** Producer, after pushing: true when the consumer must be woken, false when that is under way already. */
  claimSignal(): boolean {
    return Atomics.exchange(this.words, Word.signalled, 1) === 0;
  }

  /** Consumer, before draining: from here on the producer wakes it anew. */
  clearSignal(): void {
    Atomics.store(this.words, Word.signalled, 0);
  }
}
