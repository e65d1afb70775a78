import { ByteRing } from '../../shared/byte-ring.ts';
import { SharedLock } from '../../shared/lock.ts';

const OUTPUT_CAPACITY = 64 * 1024;
const INPUT_CAPACITY = 4 * 1024;

/** Words of shared memory; all but LOCK are guarded by it. */
const Word = {
  LOCK: 0,
  IER: 1,
  LCR: 2,
  MCR: 3,
  SCR: 4,
  FCR: 5,
  DLL: 6,
  DLM: 7,
  THRE: 8,
  COALESCING: 9,
  LEVEL: 10,
} as const;
const WORDS = 16;

/** What a serial port's state is made of, as it crosses to other threads. */
export interface SerialBuffers {
  readonly registers: SharedArrayBuffer;
  readonly output: SharedArrayBuffer;
  readonly input: SharedArrayBuffer;
}

/** The state of a 16550A, in shared memory: any vCPU's thread and the console may touch it, under `lock`. */
export class SerialState {
  readonly lock: SharedLock;
  /** Guest to host; its producer is whoever holds the lock. */
  readonly output: ByteRing;
  /** Host to guest: what the receiver FIFO has not taken yet. */
  readonly input: ByteRing;
  private readonly words: Int32Array;

  static allocate(): SerialBuffers {
    return {
      registers: new SharedArrayBuffer(WORDS * 4),
      output: ByteRing.allocate(OUTPUT_CAPACITY),
      input: ByteRing.allocate(INPUT_CAPACITY),
    };
  }

  constructor({ registers, output, input }: SerialBuffers) {
    this.words = new Int32Array(registers);
    this.lock = new SharedLock(this.words, Word.LOCK);
    this.output = new ByteRing(output);
    this.input = new ByteRing(input);
  }

  /** The registers, for a snapshot. Lock held by the caller. */
  copyTo(into: Int32Array): void {
    into.set(this.words.subarray(Word.IER));
  }

  /** The inverse of copyTo, before anybody uses the port. What the kernel queues is this machine's own, not the guest's. */
  loadFrom(from: Int32Array): void {
    const { coalescing } = this;
    this.words.set(from, Word.IER);
    this.coalescing = coalescing;
  }

  static readonly registerCount = WORDS - Word.IER;

  get interruptEnable(): number {
    return this.words[Word.IER] as number;
  }
  set interruptEnable(value: number) {
    this.words[Word.IER] = value;
  }
  get lineControl(): number {
    return this.words[Word.LCR] as number;
  }
  set lineControl(value: number) {
    this.words[Word.LCR] = value;
  }
  get modemControl(): number {
    return this.words[Word.MCR] as number;
  }
  set modemControl(value: number) {
    this.words[Word.MCR] = value;
  }
  get scratch(): number {
    return this.words[Word.SCR] as number;
  }
  set scratch(value: number) {
    this.words[Word.SCR] = value;
  }
  get fifoControl(): number {
    return this.words[Word.FCR] as number;
  }
  set fifoControl(value: number) {
    this.words[Word.FCR] = value;
  }
  get divisorLow(): number {
    return this.words[Word.DLL] as number;
  }
  set divisorLow(value: number) {
    this.words[Word.DLL] = value;
  }
  get divisorHigh(): number {
    return this.words[Word.DLM] as number;
  }
  set divisorHigh(value: number) {
    this.words[Word.DLM] = value;
  }
  /** The transmitter-empty interrupt is pending: the register emptied and nobody has asked since. */
  get transmitterEmptied(): boolean {
    return this.words[Word.THRE] === 1;
  }
  set transmitterEmptied(pending: boolean) {
    this.words[Word.THRE] = pending ? 1 : 0;
  }
  /** The kernel queues writes of the transmit register instead of exiting. */
  get coalescing(): boolean {
    return this.words[Word.COALESCING] === 1;
  }
  set coalescing(enabled: boolean) {
    this.words[Word.COALESCING] = enabled ? 1 : 0;
  }
  get interruptLevel(): 0 | 1 {
    return this.words[Word.LEVEL] === 1 ? 1 : 0;
  }
  set interruptLevel(level: 0 | 1) {
    this.words[Word.LEVEL] = level;
  }
}
