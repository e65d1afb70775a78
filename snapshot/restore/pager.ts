import type { EventLoop } from '../../vmm/io/event-loop.ts';
import { hvaOffset } from '../../vmm/memory/address.ts';
import { allocateNative, type NativeMemory } from '../../vmm/memory/native.ts';
import { UserFaultFd } from '../../vmm/memory/userfaultfd.ts';
import { ChunkReader } from '../image/chunk-reader.ts';
import type { MemorySource } from '../image/memory-source.ts';
import { type LoadTarget, requireSameSize } from './eager.ts';

export interface PagerSetup {
  readonly source: MemorySource;
  readonly target: LoadTarget;
  /** A userfaultfd on which the target is registered as missing. */
  readonly userfaultFd: number;
  /** The kernel can move pages (UFFDIO_MOVE): huge pages stay huge, and nothing is copied twice. */
  readonly canMove: boolean;
}

/**
 * Brings a snapshot's memory in while its VM runs already: chunks that somebody waits for at once, in between the rest,
 * those first that were written soon after the cut. Every chunk is checked before the guest can see it.
 */
export class Pager {
  private readonly setup: PagerSetup;
  private readonly userfault: UserFaultFd;
  private readonly loaded: Uint8Array;
  private readonly reader: ChunkReader;
  private readonly staging: NativeMemory;
  private readonly queue: number[];
  private next = 0;
  private readonly loop: EventLoop;
  private readonly onDone: (error: unknown) => void;

  /** `onDone` is called once: with undefined when all memory is there, or with what went wrong. */
  constructor(setup: PagerSetup, loop: EventLoop, onDone: (error: unknown) => void) {
    const { source } = setup;
    requireSameSize(source, setup.target);
    this.setup = setup;
    this.loop = loop;
    this.onDone = onDone;
    this.userfault = new UserFaultFd(setup.userfaultFd);
    this.loaded = new Uint8Array(source.chunks.length);
    this.reader = new ChunkReader(source);
    this.staging = allocateNative(source.chunkSize, { huge: true });
    const rest = Array.from(source.chunks.keys()).filter(chunk => source.chunks[chunk] !== null);
    this.queue = [...source.workingSet, ...rest];
    loop.add(setup.userfaultFd, () => this.guarded(() => this.serveFaults()));
  }

  /** Loads one more chunk ahead of need; false when there is none. */
  prefetch(): boolean {
    while (this.next < this.queue.length) {
      const chunk = this.queue[this.next++] as number;
      if (this.loaded[chunk] === 1) continue;
      this.guarded(() => this.load(chunk));
      return true;
    }
    return false;
  }

  /** Everything is loaded: the kernel serves the rest (zeros) by itself from now on. */
  finish(): void {
    const { target, userfaultFd } = this.setup;
    this.userfault.unregister(target.address, target.length);
    this.loop.remove(userfaultFd);
    this.freeBuffers();
    this.onDone(undefined);
  }

  private serveFaults(): void {
    const { target, source } = this.setup;
    for (let address = this.userfault.nextFault(); address >= 0; address = this.userfault.nextFault()) {
      const chunk = Math.floor((address - target.address) / source.chunkSize);
      // Faults of several threads on one chunk come one by one; the first was answered for all.
      if (this.loaded[chunk] === 0) this.load(chunk);
      else this.userfault.wake(this.address(chunk), this.reader.chunkLength(chunk));
    }
  }

  private load(chunk: number): void {
    const { canMove } = this.setup;
    const { staging, reader } = this;
    const length = reader.chunkLength(chunk);
    reader.read(chunk, staging.address);
    this.loaded[chunk] = 1;
    if (canMove) this.userfault.move(this.address(chunk), staging.address, length);
    else this.userfault.copy(this.address(chunk), staging.address, length);
  }

  private guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.loop.remove(this.setup.userfaultFd);
      this.next = this.queue.length;
      this.freeBuffers();
      this.onDone(error);
    }
  }

  private freeBuffers(): void {
    this.staging.free();
    this.reader.free();
  }

  private address(chunk: number): LoadTarget['address'] {
    return hvaOffset(this.setup.target.address, chunk * this.setup.source.chunkSize);
  }
}
