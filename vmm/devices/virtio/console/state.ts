import { ByteRing } from '../../../shared/byte-ring.ts';

const INPUT_CAPACITY = 4096;
/** Words of the device's own, guarded by its lock but for STALLED. */
const Word = {
  /** Bytes of the first available transmit buffer that have been output already. */
  OUTPUT_DONE: 0,
  /** The output ring was full: whoever empties it signals the transmit queue's eventfd. Atomic. */
  STALLED: 1,
  INPUT: 2,
} as const;

/** What a console keeps beyond its transport's state: how far output got, and input that waits for buffers. */
export class ConsoleState {
  static readonly words = {
    session: Word.INPUT,
    lasting: ByteRing.allocate(INPUT_CAPACITY).byteLength / 4,
  } as const;

  /** Host to guest. Its producer is whoever holds the device's lock for it. */
  readonly input: ByteRing;
  private readonly words: Int32Array;

  /** `words` are VirtioState.own. */
  constructor(words: Int32Array) {
    this.words = words;
    const { buffer, byteOffset, byteLength } = words.subarray(Word.INPUT);
    this.input = new ByteRing(buffer as SharedArrayBuffer, byteOffset, byteLength);
  }

  get outputDone(): number {
    return (this.words[Word.OUTPUT_DONE] as number) >>> 0;
  }
  set outputDone(bytes: number) {
    this.words[Word.OUTPUT_DONE] = bytes;
  }

  stall(): void {
    Atomics.store(this.words, Word.STALLED, 1);
  }

  /** Whether it had stalled; it goes on now. */
  unstall(): boolean {
    return Atomics.exchange(this.words, Word.STALLED, 0) === 1;
  }
}
