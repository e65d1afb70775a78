import { HUGE_PAGE_SIZE, type Hva, hva, PAGE_SIZE } from './address.ts';
import { EagerPages } from './eager-pages.ts';

/**
 * The shared words of copy-on-write: which chunks of RAM are still write-protected, and the buffers that hold copies
 * of chunks on their way to the image. All threads that write guest RAM look at them.
 *
 * A chunk's word is `epoch * 4 + phase`. Arming a new epoch makes every word of an older one mean "protected", so it
 * touches none of them. The phases of the current epoch:
 *
 *   protected --saver claims--> SAVING --saver wrote it--> SAVED --unprotected--> RELEASED
 *   protected or SAVING --a writer claims--> COPYING --copied and unprotected--> RELEASED
 *                                            COPYING --some pages of it alone--> protected
 *
 * A writer never waits for the saver, which may have to wait for the disk or for a processor: it takes a chunk away in the
 * middle, which the saver then writes again, from the copy; and a chunk that is SAVED the writer unprotects itself.
 */
const Word = {
  ARMED: 0,
  EPOCH: 1,
  CHUNK_SIZE: 2,
  MECHANISM: 3,
  USERFAULT_FD: 4,
  POOL_ADDRESS_LOW: 5,
  POOL_ADDRESS_HIGH: 6,
  SLOT_COUNT: 7,
  /** Chunks of the epoch not yet RELEASED. */
  REMAINING: 8,
  /** Counts the buffers ever asked for in this epoch: they are taken in turn, as a ring. */
  SLOT_TICKETS: 9,
  /** Counts published copies: the saver waits for changes. */
  SAVER_BELL: 10,
  /** Counts those who need RAM to stay mapped as it is. */
  DISCARD_HOLDS: 11,
  /** Counts those who are saving a chunk to write it. Outlives epochs. */
  WRITERS: 12,
  COUNTERS: 16,
  SLOTS: 32,
} as const;

const Phase = { SAVED: 0, SAVING: 1, COPYING: 2, RELEASED: 3 } as const;
export const MAXIMUM_SLOTS = 4096;
/** What a slot's word holds, or the number of the chunk whose copy is in the buffer, plus 1. */
const SLOT_FREE = 0;
const SLOT_TAKEN = -1;
const SLOT_CLOSED = -2;
const EAGER_PAGES = Word.SLOTS + MAXIMUM_SLOTS;
/** The first pages for which writers had to wait in the epoch: how many, and their numbers. */
const FIRST_WRITES = EAGER_PAGES + EagerPages.WORDS;
const MAXIMUM_FIRST_WRITES = 12;
const CHUNKS = FIRST_WRITES + 1 + MAXIMUM_FIRST_WRITES;

/** LOG protects nothing: it notes what the VMM writes, for those who save memory before the cut. */
export const Mechanism = { NONE: 0, MPROTECT: 1, USERFAULTFD: 2, LOG: 3 } as const;
export type Mechanism = (typeof Mechanism)[keyof typeof Mechanism];

/** Who saved chunks, and what went less well. Names as in the JSON of `snap`. */
export const CowCounter = {
  cow_faults: 0,
  vmm_write_saves: 1,
  chunks_eager: 2,
  /** Pages copied in the pause without the rest of their chunk (see EagerPages). */
  pages_eager: 3,
  chunks_active: 4,
  chunks_stolen: 5,
  fallbacks: 6,
  buffer_waits: 7,
  /** Longest and summed time a writer spent on one chunk, in microseconds. */
  stall_us_max: 8,
  stall_us_sum: 9,
  /** Of that: copying, and making the chunk writable. */
  copy_us_sum: 10,
  unprotect_us_sum: 11,
  /** Chunks that kept a writer for longer than a millisecond. */
  stalls_long: 12,
  /** Parts of chunks that were saved without the rest (see EagerPages). */
  cow_faults_partial: 13,
  vmm_write_saves_partial: 14,
} as const;
/** A guest may notice. */
const LONG_STALL_US = 1000;
export type CowCounter = (typeof CowCounter)[keyof typeof CowCounter];

/** What a writer got: nothing to do, a chunk that nobody has saved, or one that the saver was writing. */
export const Claim = { NONE: 0, PROTECTED: 1, STOLEN: 2 } as const;
export type Claim = (typeof Claim)[keyof typeof Claim];

export interface ArmOptions {
  readonly mechanism: Mechanism;
  readonly chunkSize: number;
  readonly userfaultFd?: number;
  /** Buffers of chunkSize bytes each, at most MAXIMUM_SLOTS, and after them EagerPages.BYTES. */
  readonly poolAddress: Hva;
  readonly slotCount: number;
}

export class CowState {
  readonly buffer: SharedArrayBuffer;
  /** Pages of chunks that are still protected, which themselves are not. */
  readonly eagerPages: EagerPages;
  private readonly words: Int32Array;

  /** Room for the smallest chunks, single pages; the pages of the table that larger chunks leave untouched cost nothing. */
  static allocate(ramLength: number): SharedArrayBuffer {
    return new SharedArrayBuffer((CHUNKS + ramLength / PAGE_SIZE) * 4);
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    this.eagerPages = new EagerPages(buffer, EAGER_PAGES * 4);
  }

  get armed(): boolean {
    return Atomics.load(this.words, Word.ARMED) === 1;
  }
  get epoch(): number {
    return this.word(Word.EPOCH);
  }
  get chunkSize(): number {
    return this.word(Word.CHUNK_SIZE) || HUGE_PAGE_SIZE;
  }
  get mechanism(): Mechanism {
    return this.word(Word.MECHANISM) as Mechanism;
  }
  get userfaultFd(): number {
    return this.word(Word.USERFAULT_FD);
  }
  get slotCount(): number {
    return this.word(Word.SLOT_COUNT);
  }
  get remaining(): number {
    return Atomics.load(this.words, Word.REMAINING);
  }

  slotAddress(slot: number): Hva {
    const pool =
      (this.word(Word.POOL_ADDRESS_LOW) >>> 0) + (this.word(Word.POOL_ADDRESS_HIGH) >>> 0) * 2 ** 32;
    return hva(pool + slot * this.chunkSize);
  }

  /** Where the copy of the eager page with number `index` lies. */
  eagerAddress(index: number): Hva {
    return hva(this.slotAddress(this.slotCount) + index * PAGE_SIZE);
  }

  /** Whether memory may be given back to the host. */
  get mayDiscard(): boolean {
    return Atomics.load(this.words, Word.DISCARD_HOLDS) === 0;
  }

  /**
   * From here until allowDiscards() no memory is given back to the host. What is being given back at this moment is done
   * when the lock of the device that does so is free.
   */
  holdDiscards(): void {
    Atomics.add(this.words, Word.DISCARD_HOLDS, 1);
  }
  allowDiscards(): void {
    Atomics.sub(this.words, Word.DISCARD_HOLDS, 1);
  }

  /** Begins an epoch: from here on every chunk is protected. No thread may be writing RAM. */
  arm(options: ArmOptions, chunkCount: number): void {
    const { words } = this;
    words[Word.CHUNK_SIZE] = options.chunkSize;
    words[Word.MECHANISM] = options.mechanism;
    words[Word.USERFAULT_FD] = options.userfaultFd ?? -1;
    words[Word.POOL_ADDRESS_LOW] = options.poolAddress % 2 ** 32;
    words[Word.POOL_ADDRESS_HIGH] = options.poolAddress / 2 ** 32;
    words[Word.SLOT_COUNT] = options.slotCount;
    words.fill(0, Word.COUNTERS, Word.COUNTERS + 16);
    words.fill(SLOT_FREE, Word.SLOTS, Word.SLOTS + MAXIMUM_SLOTS);
    words[Word.SLOT_TICKETS] = 0;
    this.eagerPages.clear();
    words[FIRST_WRITES] = 0;
    words[Word.EPOCH] = this.epoch + 1;
    Atomics.store(words, Word.REMAINING, chunkCount);
    Atomics.store(words, Word.ARMED, 1);
  }

  /**
   * Ends the epoch, saved or given up: nothing is protected any more. Wakes everybody who waits. Buffers that are being
   * used must not go before hasWriters says no.
   */
  disarm(chunkCount: number): void {
    const { words } = this;
    Atomics.store(words, Word.ARMED, 0);
    for (let slot = 0; slot < this.slotCount; slot++) {
      Atomics.compareExchange(words, Word.SLOTS + slot, SLOT_FREE, SLOT_CLOSED);
      Atomics.notify(words, Word.SLOTS + slot);
    }
    for (let chunk = 0; chunk < chunkCount; chunk++) Atomics.notify(words, CHUNKS + chunk);
    this.ringSaver();
  }

  isReleased(chunk: number): boolean {
    return Atomics.load(this.words, CHUNKS + chunk) === this.stamp(Phase.RELEASED);
  }

  /** With LOG: somebody is about to write the chunk. isReleased() tells of it until the next epoch. */
  noteWritten(chunk: number): void {
    Atomics.store(this.words, CHUNKS + chunk, this.stamp(Phase.RELEASED));
  }

  /** Takes a chunk for the active saver; false when a writer has it already. */
  claimForSave(chunk: number): boolean {
    const word = Atomics.load(this.words, CHUNKS + chunk);
    if (word >> 2 === this.epoch) return false;
    return Atomics.compareExchange(this.words, CHUNKS + chunk, word, this.stamp(Phase.SAVING)) === word;
  }

  /** The saver wrote a chunk it had claimed; false when a writer took it away meanwhile. */
  finishSave(chunk: number): boolean {
    const saving = this.stamp(Phase.SAVING);
    return Atomics.compareExchange(this.words, CHUNKS + chunk, saving, this.stamp(Phase.SAVED)) === saving;
  }

  /** Whether the chunk has been saved, but perhaps not yet unprotected. */
  isSaved(chunk: number): boolean {
    return Atomics.load(this.words, CHUNKS + chunk) === this.stamp(Phase.SAVED);
  }

  /**
   * Takes a protected chunk, or one that the saver is writing, for a writer. NONE when the chunk is saved: by
   * the saver, by another writer, for whom this waits if need be, or because the epoch ended.
   */
  claimForCopy(chunk: number): Claim {
    const index = CHUNKS + chunk;
    while (this.armed) {
      const word = Atomics.load(this.words, index);
      if (word === this.stamp(Phase.RELEASED) || word === this.stamp(Phase.SAVED)) return Claim.NONE;
      if (word === this.stamp(Phase.COPYING)) {
        Atomics.wait(this.words, index, word, 100);
        continue;
      }
      if (Atomics.compareExchange(this.words, index, word, this.stamp(Phase.COPYING)) !== word) continue;
      if (word !== this.stamp(Phase.SAVING)) return Claim.PROTECTED;
      this.count(CowCounter.chunks_stolen, 1);
      return Claim.STOLEN;
    }
    return Claim.NONE;
  }

  /** Gives back a claim of a PROTECTED chunk, which still is, but for the pages that were entered in eagerPages. */
  giveBack(chunk: number): void {
    Atomics.store(this.words, CHUNKS + chunk, ((this.epoch - 1) << 2) | Phase.RELEASED);
    Atomics.notify(this.words, CHUNKS + chunk);
    // It may have passed by meanwhile.
    this.ringSaver();
  }

  /** Whether a page of a chunk that is not released can be written nevertheless. */
  isEager(chunk: number, page: number): boolean {
    // In this order: pages are entered after the chunk was claimed, and are writable when it is given back.
    return (
      this.eagerPages.has(page) && Atomics.load(this.words, CHUNKS + chunk) !== this.stamp(Phase.COPYING)
    );
  }

  /** A writer had to wait for a copy, as it wants to write this page. */
  noteFirstWrite(page: number): void {
    const index = Atomics.load(this.words, FIRST_WRITES);
    if (index >= MAXIMUM_FIRST_WRITES) return;
    // Of two at the same time one may be forgotten.
    this.words[FIRST_WRITES + 1 + index] = page;
    Atomics.store(this.words, FIRST_WRITES, index + 1);
  }

  get firstWrites(): number[] {
    const begin = FIRST_WRITES + 1;
    return [...this.words.subarray(begin, begin + Atomics.load(this.words, FIRST_WRITES))];
  }

  /** Declares a chunk saved and unprotected. Of those who do so at the same time, the first counts. */
  release(chunk: number): void {
    const released = this.stamp(Phase.RELEASED);
    if (Atomics.exchange(this.words, CHUNKS + chunk, released) === released) return;
    Atomics.notify(this.words, CHUNKS + chunk);
    if (Atomics.sub(this.words, Word.REMAINING, 1) === 1) this.ringSaver();
  }

  /** A free buffer, after waiting for one if need be (counted); -1 when the epoch ended meanwhile. */
  takeSlot(): number {
    const { words } = this;
    const slot = (Atomics.add(words, Word.SLOT_TICKETS, 1) >>> 0) % this.slotCount;
    const index = Word.SLOTS + slot;
    for (let waited = false; this.armed; waited = true) {
      const found = Atomics.compareExchange(words, index, SLOT_FREE, SLOT_TAKEN);
      if (found === SLOT_FREE) return slot;
      if (!waited) this.count(CowCounter.buffer_waits, 1);
      Atomics.wait(words, index, found, 100);
    }
    return -1;
  }

  /** Hands a filled buffer to the saver. */
  publishSlot(slot: number, chunk: number): void {
    Atomics.store(this.words, Word.SLOTS + slot, chunk + 1);
    this.ringSaver();
  }

  /** The chunk whose copy lies in `slot`, or -1. For the saver, who finds copies in the order of the ring. */
  slotChunk(slot: number): number {
    const value = Atomics.load(this.words, Word.SLOTS + slot);
    return value > 0 ? value - 1 : -1;
  }

  freeSlot(slot: number): void {
    Atomics.store(this.words, Word.SLOTS + slot, SLOT_FREE);
    Atomics.notify(this.words, Word.SLOTS + slot);
  }

  /** A writer is about to copy or unprotect, unless it finds the epoch ended: leaveWriter() is due in any case. */
  enterWriter(): void {
    Atomics.add(this.words, Word.WRITERS, 1);
  }
  leaveWriter(): void {
    Atomics.sub(this.words, Word.WRITERS, 1);
  }
  /** Whether a writer may still touch buffers or protection; after disarm() no other begins to. */
  get hasWriters(): boolean {
    return Atomics.load(this.words, Word.WRITERS) !== 0;
  }

  /** For the saver: sleeps until a writer rings; `bell` is the value read before it last looked. */
  waitForWriters(bell: number, timeout_ms: number): void {
    Atomics.wait(this.words, Word.SAVER_BELL, bell, timeout_ms);
  }
  get bell(): number {
    return Atomics.load(this.words, Word.SAVER_BELL);
  }

  count(counter: CowCounter, by: number): void {
    Atomics.add(this.words, Word.COUNTERS + counter, by);
  }

  /** What a writer spent on one chunk, in microseconds. */
  countStall(stall_us: number, copy_us: number, unprotect_us: number): void {
    this.count(CowCounter.stall_us_sum, stall_us);
    this.count(CowCounter.copy_us_sum, copy_us);
    this.count(CowCounter.unprotect_us_sum, unprotect_us);
    if (stall_us > LONG_STALL_US) this.count(CowCounter.stalls_long, 1);
    const index = Word.COUNTERS + CowCounter.stall_us_max;
    for (let seen = Atomics.load(this.words, index); stall_us > seen; ) {
      const found = Atomics.compareExchange(this.words, index, seen, stall_us);
      if (found === seen) return;
      seen = found;
    }
  }

  get counters(): Record<keyof typeof CowCounter, number> {
    const entries = Object.entries(CowCounter).map(([name, i]) => [name, this.word(Word.COUNTERS + i) >>> 0]);
    return Object.fromEntries(entries);
  }

  private stamp(phase: number): number {
    return (this.epoch << 2) | phase;
  }

  private word(index: number): number {
    return this.words[index] as number;
  }

  private ringSaver(): void {
    Atomics.add(this.words, Word.SAVER_BELL, 1);
    Atomics.notify(this.words, Word.SAVER_BELL);
  }
}
