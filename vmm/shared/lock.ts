/**
 * A mutual exclusion lock in one word of shared memory, for threads that may sleep in Atomics.wait. Uncontended it
 * costs two atomic instructions. After Ulrich Drepper, "Futexes Are Tricky" (mutex 2): 0 free, 1 held, 2 held and
 * somebody waits.
 */
export class SharedLock {
  private readonly words: Int32Array;
  private readonly index: number;

  /** `words` lies over a SharedArrayBuffer; the word at `index` belongs to the lock alone and starts as 0. */
  constructor(words: Int32Array, index: number) {
    this.words = words;
    this.index = index;
  }

  acquire(): void {
    if (Atomics.compareExchange(this.words, this.index, 0, 1) === 0) return;
    while (Atomics.exchange(this.words, this.index, 2) !== 0) Atomics.wait(this.words, this.index, 2);
  }

  tryAcquire(): boolean {
    return Atomics.compareExchange(this.words, this.index, 0, 1) === 0;
  }

  /** Whether another thread waits for the lock; for its holder, to give it back early. May be true once too often. */
  get isContended(): boolean {
    return Atomics.load(this.words, this.index) === 2;
  }

  release(): void {
    if (Atomics.exchange(this.words, this.index, 0) === 2) Atomics.notify(this.words, this.index, 1);
  }
}
