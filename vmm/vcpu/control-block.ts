/**
 * The words by which the control thread and a vCPU's thread meet. REQUEST is written by control, STATE and the
 * counters by the vCPU's thread.
 */
const Word = {
  REQUEST: 0,
  STATE: 1,
  THREAD: 2,
  EXITS_PIO: 3,
  EXITS_MMIO: 4,
  INTERRUPTIONS: 5,
  COALESCED: 6,
  /** Rehearsals that control has asked for, and that the vCPU's thread has made. */
  REHEARSALS_WANTED: 7,
  REHEARSALS_MADE: 8,
  /** 1: both sides may look before they sleep. Written by control. */
  SPINS: 9,
  EMULATED: 10,
  COUNT: 16,
} as const;

/** NONE: there is no vCPU yet. SNAPSHOT: stop, write the vCPU's state into its slab, and wait for another request. */
export const VcpuRequest = { NONE: 0, PARK: 1, RUN: 2, END: 3, SNAPSHOT: 4 } as const;
export type VcpuRequest = (typeof VcpuRequest)[keyof typeof VcpuRequest];

/**
 * LOADED: all code is there, but no vCPU yet; STOPPED: out of the guest for a snapshot; CAPTURED: its state is in the
 * slab.
 */
export const VcpuState = {
  STARTING: 0,
  LOADED: 1,
  PARKED: 2,
  RUNNING: 3,
  ENDED: 4,
  STOPPED: 5,
  CAPTURED: 6,
} as const;
export type VcpuState = (typeof VcpuState)[keyof typeof VcpuState];

const TIMES = 4;
/** In the pause of a snapshot both sides look for so long before they sleep: to be woken takes longer than most waits. */
const SPIN_MS = 1;

export interface VcpuCounters {
  readonly pioExits: number;
  readonly mmioExits: number;
  /** Times the vCPU came out of KVM_RUN by a signal. */
  readonly interruptions: number;
  /** Port writes that the kernel queued. */
  readonly coalescedWrites: number;
  /** Instructions completed here because the host's KVM cannot execute them. */
  readonly emulatedInstructions: number;
}

export class VcpuControlBlock {
  readonly buffer: SharedArrayBuffer;
  private readonly words: Int32Array;
  private readonly times: Float64Array;

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(Word.COUNT * 4 + 8 * TIMES);
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer, 0, Word.COUNT);
    this.times = new Float64Array(buffer, Word.COUNT * 4, TIMES);
  }

  get request(): VcpuRequest {
    return Atomics.load(this.words, Word.REQUEST) as VcpuRequest;
  }
  set request(request: VcpuRequest) {
    Atomics.store(this.words, Word.REQUEST, request);
    Atomics.notify(this.words, Word.REQUEST);
  }

  /** Sleeps for as long as the request is `request`, or until the time is over. For the vCPU's thread. */
  sleepWhileRequestIs(request: VcpuRequest, limit_ms = Number.POSITIVE_INFINITY): void {
    let result = 'ok';
    while (this.request === request && result !== 'timed-out')
      result = Atomics.wait(this.words, Word.REQUEST, request, limit_ms);
  }

  /** As sleepWhileRequestIs(), for the pause of a snapshot. */
  waitWhileRequestIs(request: VcpuRequest): void {
    if (this.spins) {
      const deadline = performance.now() + SPIN_MS;
      while (performance.now() < deadline) if (this.request !== request) return;
    }
    this.sleepWhileRequestIs(request);
  }

  get state(): VcpuState {
    return Atomics.load(this.words, Word.STATE) as VcpuState;
  }
  set state(state: VcpuState) {
    Atomics.store(this.words, Word.STATE, state);
    Atomics.notify(this.words, Word.STATE);
  }

  /** Resolves once the state is another than `state`. For the control thread, which must not block. */
  async stateOtherThan(state: VcpuState): Promise<VcpuState> {
    while (this.state === state) {
      const { value } = Atomics.waitAsync(this.words, Word.STATE, state);
      if (typeof value !== 'string') await value;
    }
    return this.state;
  }

  /**
   * Waits until the state is one of `wanted` (as bits), blocking the calling thread: for the pause of a snapshot,
   * where a turn of the event loop would cost more than the wait. False after `timeout_ms`.
   */
  waitForState(wanted: number, timeout_ms: number): boolean {
    const begin = performance.now();
    const spinEnd = begin + (this.spins ? Math.min(SPIN_MS, timeout_ms) : 0);
    do if (((1 << this.state) & wanted) !== 0) return true;
    while (performance.now() < spinEnd);
    const deadline = begin + timeout_ms;
    for (let state = this.state; ((1 << state) & wanted) === 0; state = this.state) {
      const left_ms = deadline - performance.now();
      if (left_ms <= 0) return false;
      Atomics.wait(this.words, Word.STATE, state, Math.min(left_ms, 10));
    }
    return true;
  }

  /** When the vCPU left the guest for a snapshot, had its state captured, and entered the guest again, in us. */
  get stopped_us(): number {
    return this.times[0] as number;
  }
  set stopped_us(time: number) {
    this.times[0] = time;
  }
  get captured_us(): number {
    return this.times[1] as number;
  }
  set captured_us(time: number) {
    this.times[1] = time;
  }
  get resumed_us(): number {
    return this.times[2] as number;
  }
  set resumed_us(time: number) {
    this.times[2] = time;
  }

  /** Linux thread id, 0 while the thread starts. */
  get thread(): number {
    return Atomics.load(this.words, Word.THREAD);
  }
  set thread(id: number) {
    Atomics.store(this.words, Word.THREAD, id);
  }

  /** Whether it is worth while to look: only where everybody who is waited for has a processor meanwhile. */
  get spins(): boolean {
    return Atomics.load(this.words, Word.SPINS) === 1;
  }
  set spins(spins: boolean) {
    Atomics.store(this.words, Word.SPINS, spins ? 1 : 0);
  }

  /** Asks for a capture in passing, for nothing but practice; the vCPU must be kicked. For the control thread. */
  wantRehearsal(): void {
    Atomics.add(this.words, Word.REHEARSALS_WANTED, 1);
  }
  get rehearsalIsDue(): boolean {
    return Atomics.load(this.words, Word.REHEARSALS_WANTED) !== this.words[Word.REHEARSALS_MADE];
  }
  countRehearsal(): void {
    Atomics.store(this.words, Word.REHEARSALS_MADE, Atomics.load(this.words, Word.REHEARSALS_WANTED));
    Atomics.notify(this.words, Word.REHEARSALS_MADE);
  }
  /** Blocks the calling thread until no rehearsal is due; false if one still is at `deadline_ms` (performance.now()). */
  waitForRehearsal(deadline_ms: number): boolean {
    for (;;) {
      const made = Atomics.load(this.words, Word.REHEARSALS_MADE);
      if (made === this.words[Word.REHEARSALS_WANTED]) return true;
      const left_ms = deadline_ms - performance.now();
      if (left_ms <= 0) return false;
      if (!this.spins) Atomics.wait(this.words, Word.REHEARSALS_MADE, made, left_ms);
    }
  }

  countPio(): void {
    this.increment(Word.EXITS_PIO);
  }
  countMmio(): void {
    this.increment(Word.EXITS_MMIO);
  }
  countInterruption(): void {
    this.increment(Word.INTERRUPTIONS);
  }
  countCoalesced(writes: number): void {
    this.increment(Word.COALESCED, writes);
  }

  countEmulated(): void {
    this.increment(Word.EMULATED);
  }

  get counters(): VcpuCounters {
    const count = (word: number) => (this.words[word] as number) >>> 0;
    return {
      pioExits: count(Word.EXITS_PIO),
      mmioExits: count(Word.EXITS_MMIO),
      interruptions: count(Word.INTERRUPTIONS),
      coalescedWrites: count(Word.COALESCED),
      emulatedInstructions: count(Word.EMULATED),
    };
  }

  /** Only one thread counts, so a plain store will do. */
  private increment(word: number, by = 1): void {
    this.words[word] = ((this.words[word] as number) + by) | 0;
  }
}
