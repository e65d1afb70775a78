const words = { ended: 0, faults: 1, fault_us: 2, prefetched: 3, size: 4 } as const;

/** How far the lazy load of a VM's memory is: words that its thread writes and others read. */
export class PagingState {
  readonly buffer: SharedArrayBuffer;
  private readonly words: Int32Array;

  static allocate(): PagingState {
    return new PagingState(new SharedArrayBuffer(words.size * Int32Array.BYTES_PER_ELEMENT));
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
  }

  /** Somebody had waited for a chunk, whose load took so long. */
  noteFault(took_us: number): void {
    Atomics.add(this.words, words.faults, 1);
    Atomics.add(this.words, words.fault_us, Math.round(took_us));
  }

  /** A chunk was loaded ahead of need. */
  notePrefetch(): void {
    Atomics.add(this.words, words.prefetched, 1);
  }

  /** All is loaded, or nothing more will be. */
  noteEnd(): void {
    Atomics.store(this.words, words.ended, 1);
    Atomics.notify(this.words, words.ended);
  }

  get isEnded(): boolean {
    return Atomics.load(this.words, words.ended) !== 0;
  }

  /** Resolves when noteEnd() was called. */
  async ended(): Promise<void> {
    const { value } = Atomics.waitAsync(this.words, words.ended, 0);
    if (typeof value !== 'string') await value;
  }

  get counters(): { readonly faults: number; readonly fault_us: number; readonly prefetched: number } {
    const read = (word: number) => Atomics.load(this.words, word);
    return {
      faults: read(words.faults),
      fault_us: read(words.fault_us),
      prefetched: read(words.prefetched),
    };
  }
}
