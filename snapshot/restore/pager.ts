import type { EventLoop } from '../../vmm/io/event-loop.ts';
import { hvaOffset } from '../../vmm/memory/address.ts';
import { UserFaultFd } from '../../vmm/memory/userfaultfd.ts';
import { ChunkReader } from '../image/chunk-reader.ts';
import type { MemorySource } from '../image/memory-source.ts';
import { type LoadTarget, requireSameSize } from './eager.ts';
import { PagingState } from './paging-state.ts';
import { Staging } from './staging.ts';

export interface PagerSetup {
  readonly source: MemorySource;
  readonly target: LoadTarget;
  /** A userfaultfd on which the target is registered as missing. */
  readonly userfaultFd: number;
  /** The kernel can move pages (UFFDIO_MOVE): huge pages stay huge, and nothing is copied twice. */
  readonly canMove: boolean;
  /** The buffer of a PagingState. */
  readonly state: SharedArrayBuffer;
}

/** So many chunks come before the VM runs, while its machine is made: all that most guests need at once. */
const HEAD_CHUNKS = 8;
/** The rest waits so long after the VM was let run, as in that time the guest asks for much and each chunk makes it wait. */
const HEAD_START_MS = 50;

/**
 * Brings a snapshot's memory in while its VM runs already: chunks that somebody waits for at once, in between the rest,
 * those first that were written soon after the cut. Every chunk is checked before the guest can see it.
 */
export class Pager {
  private readonly setup: PagerSetup;
  private readonly state: PagingState;
  private readonly userfault: UserFaultFd;
  private readonly loaded: Uint8Array;
  private readonly reader: ChunkReader;
  private readonly staging: Staging;
  private readonly ownStaging: Staging | undefined;
  private readonly queue: number[];
  private next = 0;
  private isBuilt = false;
  private released_ms: number | undefined;
  private ended = false;
  private readonly loop: EventLoop;
  private readonly onDone: (error: unknown) => void;

  /**
   * `staging` may be shared with others of this thread. `onDone` is called once: with undefined when all memory is there,
   * or with what went wrong. In that case those who wait for memory wait on, as what they would find is not the guest's;
   * but not before built(), when they are no guests, but whoever builds the machine, who has to hear of the failure.
   */
  constructor(setup: PagerSetup, staging: Staging, loop: EventLoop, onDone: (error: unknown) => void) {
    const { source } = setup;
    requireSameSize(source, setup.target);
    if (source.chunkSize > staging.slotSize) this.ownStaging = new Staging(source.chunkSize);
    this.staging = this.ownStaging ?? staging;
    this.setup = setup;
    this.loop = loop;
    this.onDone = onDone;
    this.state = new PagingState(setup.state);
    this.userfault = new UserFaultFd(setup.userfaultFd);
    this.loaded = new Uint8Array(source.chunks.length);
    this.reader = new ChunkReader(source);
    const rest = Array.from(source.chunks.keys()).filter(chunk => source.chunks[chunk] !== null);
    this.queue = [...source.workingSet, ...rest];
    loop.add(setup.userfaultFd, () => this.guarded(() => this.serveFaults()));
  }

  /** The machine has its state, and only guests and devices look at its memory from now on. */
  built(): void {
    this.isBuilt = true;
  }

  /** The VM is let run. */
  released(): void {
    this.released_ms ??= performance.now();
  }

  /** Nobody needs the rest any more, and nobody waits for it. */
  abandon(): void {
    if (!this.ended) this.loop.remove(this.setup.userfaultFd);
    this.close();
  }

  /** Gives back its buffers, if the work ends before its end. */
  close(): void {
    if (this.ended) return;
    this.ended = true;
    this.ownStaging?.free();
    this.reader.free();
  }

  /** Loads one more chunk ahead of need if it is time to; answers how long there is nothing to do, in ms (-1: unknown). */
  prefetch(): number {
    if (this.ended) return -1;
    if (this.next >= HEAD_CHUNKS) {
      if (this.released_ms === undefined) return -1;
      const early_ms = this.released_ms + HEAD_START_MS - performance.now();
      if (early_ms > 0) return Math.ceil(early_ms);
    }
    while (this.next < this.queue.length) {
      const chunk = this.queue[this.next++] as number;
      if (this.loaded[chunk] === 1) continue;
      this.guarded(() => this.load(chunk));
      this.state.notePrefetch();
      return 0;
    }
    if (this.released_ms === undefined) return -1;
    this.finish();
    return -1;
  }

  /** Everything is loaded: the kernel serves the rest (zeros) by itself from now on. */
  private finish(): void {
    this.unregister();
    this.end(undefined);
  }

  private serveFaults(): void {
    const { target, source } = this.setup;
    for (let address = this.userfault.nextFault(); address >= 0; address = this.userfault.nextFault()) {
      const chunk = Math.floor((address - target.address) / source.chunkSize);
      // Faults of several threads on one chunk come one by one; the first was answered for all.
      if (this.loaded[chunk] === 0) this.serve(chunk);
      else this.userfault.wake(this.address(chunk), this.reader.chunkLength(chunk));
    }
  }

  private serve(chunk: number): void {
    const begun_ms = performance.now();
    this.load(chunk);
    this.state.noteFault((performance.now() - begun_ms) * 1000);
  }

  private load(chunk: number): void {
    const { canMove } = this.setup;
    const { staging, reader } = this;
    const length = reader.chunkLength(chunk);
    const staged = staging.take();
    reader.read(chunk, staged);
    this.loaded[chunk] = 1;
    if (canMove) this.userfault.move(this.address(chunk), staged, length);
    else this.userfault.copy(this.address(chunk), staged, length);
  }

  private guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!this.isBuilt) this.unregister();
      this.end(error);
    }
  }

  private unregister(): void {
    const { target } = this.setup;
    this.userfault.unregister(target.address, target.length);
  }

  private end(error: unknown): void {
    this.loop.remove(this.setup.userfaultFd);
    this.close();
    this.onDone(error);
    this.state.noteEnd();
  }

  private address(chunk: number): LoadTarget['address'] {
    return hvaOffset(this.setup.target.address, chunk * this.setup.source.chunkSize);
  }
}
