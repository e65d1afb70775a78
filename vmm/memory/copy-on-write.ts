import { checked } from '../ffi/errno.ts';
import { memcpy, mprotect, PROT } from '../ffi/libc.ts';
import { type Hva, hvaOffset, PAGE_SIZE } from './address.ts';
import { Claim, CowCounter, CowState, Mechanism } from './cow-state.ts';
import { UserFaultFd } from './userfaultfd.ts';
import type { WriteGuard } from './write-guard.ts';

/**
 * Of a chunk that is small pages already so much is copied for one write, aligned: some ten microseconds, as much as
 * entering the guest again costs anyhow.
 */
const PART_PAGES = 32;
/** When so much of a chunk has gone in parts, the rest is copied at once. */
const MOST_PART_PAGES = 6 * PART_PAGES;

const us = (ms: number): number => Math.round(ms * 1000);

/**
 * Saves chunks of guest RAM before they are first written after a snapshot's cut. Each thread has its own over the
 * shared state; vCPU threads call it for the guest's faults, and as the write guard it precedes all writes of the VMM.
 */
export class CopyOnWrite implements WriteGuard {
  readonly state: CowState;
  private readonly address: Hva;
  private readonly length: number;
  private userfault = new UserFaultFd(-1);

  constructor(buffer: SharedArrayBuffer, address: Hva, length: number) {
    this.state = new CowState(buffer);
    this.address = address;
    this.length = length;
  }

  get chunkCount(): number {
    return Math.ceil(this.length / this.state.chunkSize);
  }

  beforeWrite(ramOffset: number, length: number): void {
    const { state } = this;
    if (!state.armed) return;
    const { chunkSize } = state;
    const end = ramOffset + Math.max(length, 1);
    const last = Math.floor((end - 1) / chunkSize);
    for (let chunk = Math.floor(ramOffset / chunkSize); chunk <= last; chunk++) {
      if (state.mechanism === Mechanism.LOG) state.noteWritten(chunk);
      else if (!state.isReleased(chunk))
        this.saveRange(chunk, Math.max(ramOffset, chunk * chunkSize), Math.min(end, (chunk + 1) * chunkSize));
    }
  }

  private saveRange(chunk: number, start: number, end: number): void {
    const first = Math.floor(start / PAGE_SIZE);
    const last = Math.floor((end - 1) / PAGE_SIZE);
    if (last - first >= PART_PAGES) this.save(chunk, CowCounter.vmm_write_saves);
    else for (let page = first; page <= last; page++) this.savePage(page, CowCounter.vmm_write_saves);
  }

  /**
   * Copies the chunk out and unprotects it, as far as that has not been done in this epoch. True when this call did
   * something. On return the chunk may be written. The time it took to copy is counted as the writer's stall.
   */
  save(chunk: number, counter: CowCounter): boolean {
    const { state } = this;
    if (state.isReleased(chunk)) return false;
    return this.saveAsWriter(chunk, counter, undefined);
  }

  /**
   * As save() with the page's chunk, but if some pages of that have been copied without the rest, so may this one be with
   * its neighbours. False also when the page could be written before.
   */
  savePage(page: number, counter: typeof CowCounter.cow_faults | typeof CowCounter.vmm_write_saves): boolean {
    const { state } = this;
    const chunk = this.chunkOf(page);
    if (state.isReleased(chunk) || state.isEager(chunk, page)) return false;
    return this.saveAsWriter(chunk, counter, page);
  }

  private saveAsWriter(chunk: number, counter: CowCounter, page: number | undefined): boolean {
    const { state } = this;
    state.enterWriter();
    try {
      const started = performance.now();
      const claim = state.claimForCopy(chunk);
      if (claim === Claim.NONE) return this.finishRelease(chunk);
      if (page !== undefined) state.noteFirstWrite(page);
      if (page !== undefined && claim === Claim.PROTECTED && this.savePart(chunk, page, started)) {
        state.count(partialCounter(counter), 1);
        state.giveBack(chunk);
        return true;
      }
      return this.saveClaimed(chunk, counter, started);
    } finally {
      state.leaveWriter();
    }
  }

  /** Saves a page and its neighbours alone. False, and nothing is done, if the whole chunk is to be copied. */
  private savePart(chunk: number, page: number, started: number): boolean {
    const { state } = this;
    const { eagerPages, chunkSize } = state;
    if (!this.hasEagerPages(chunk)) return false;
    const chunkFirst = (chunk * chunkSize) / PAGE_SIZE;
    const chunkEnd = chunkFirst + this.chunkLength(chunk) / PAGE_SIZE;
    if (eagerPages.countIn(chunkFirst, chunkEnd, eagerPages.firstOfWriters) > MOST_PART_PAGES) return false;
    // Another writer was quicker.
    if (eagerPages.has(page)) return true;
    const first = Math.max(chunkFirst, page - (page % PART_PAGES));
    const end = Math.min(chunkEnd, page - (page % PART_PAGES) + PART_PAGES);
    let index = eagerPages.reserve(end - first - eagerPages.countIn(first, end));
    if (index < 0) return false;
    const begun = performance.now();
    for (let each = first; each < end; each++) if (!eagerPages.has(each)) this.copyPage(each, index++);
    const copied = performance.now();
    this.unprotectRange(first * PAGE_SIZE, (end - first) * PAGE_SIZE);
    const done = performance.now();
    state.countStall(us(done - started), us(copied - begun), us(done - copied));
    return true;
  }

  private copyPage(page: number, index: number): void {
    const { state } = this;
    memcpy(state.eagerAddress(index), hvaOffset(this.address, page * PAGE_SIZE), PAGE_SIZE);
    state.eagerPages.set(index, page);
  }

  private saveClaimed(chunk: number, counter: CowCounter, started: number): boolean {
    const { state } = this;
    const slot = state.takeSlot();
    if (slot < 0) {
      // The epoch was given up, and with it the protection.
      state.release(chunk);
      return false;
    }
    const begun = performance.now();
    this.copy(chunk, state.slotAddress(slot));
    const copied = performance.now();
    // Published before the release, so that the saver cannot find everything released and miss this copy.
    state.publishSlot(slot, chunk);
    this.unprotect(chunk);
    // Counted before the release, which may be the last, after which the counters are read.
    state.count(counter, 1);
    const done = performance.now();
    state.countStall(us(done - started), us(copied - begun), us(done - copied));
    state.release(chunk);
    return true;
  }

  /** Does what the saver has not come to after it wrote the chunk. False if there is nothing to be done. */
  private finishRelease(chunk: number): boolean {
    // When the epoch has ended nothing is protected any more, and the mechanism may be gone.
    if (!this.state.armed || !this.state.isSaved(chunk)) return false;
    this.unprotect(chunk);
    this.state.release(chunk);
    return true;
  }

  /**
   * In the pause: takes care that pages of one chunk can be written when the VM goes on, without a fault that somebody
   * must answer. Copies these pages alone, if the chunk is larger; the rest of it stays protected.
   */
  saveEagerly(firstPage: number, pageCount: number): void {
    const { state } = this;
    const { eagerPages, chunkSize } = state;
    const chunk = this.chunkOf(firstPage);
    if (!state.armed || state.isReleased(chunk)) return;
    const index = chunkSize === PAGE_SIZE ? -1 : eagerPages.reserve(pageCount);
    if (index < 0) {
      this.save(chunk, CowCounter.chunks_eager);
      return;
    }
    const offset = firstPage * PAGE_SIZE;
    const length = pageCount * PAGE_SIZE;
    memcpy(state.eagerAddress(index), hvaOffset(this.address, offset), length);
    for (let i = 0; i < pageCount; i++) eagerPages.set(index + i, firstPage + i);
    this.unprotectRange(offset, length);
    state.count(CowCounter.pages_eager, pageCount);
  }

  /** Copies a chunk as it was at the cut. The caller has claimed it. */
  copy(chunk: number, to: Hva): void {
    const { state } = this;
    const { eagerPages } = state;
    const length = this.chunkLength(chunk);
    memcpy(to, this.chunkAddress(chunk), length);
    const first = (chunk * state.chunkSize) / PAGE_SIZE;
    const end = first + length / PAGE_SIZE;
    for (let i = eagerPages.next(0, first, end); i >= 0; i = eagerPages.next(i + 1, first, end))
      memcpy(hvaOffset(to, (eagerPages.page(i) - first) * PAGE_SIZE), state.eagerAddress(i), PAGE_SIZE);
  }

  /** Whether pages of a chunk have been copied without the rest: only a copy() of it is as it was at the cut. */
  hasEagerPages(chunk: number): boolean {
    const first = (chunk * this.state.chunkSize) / PAGE_SIZE;
    return this.state.eagerPages.next(0, first, first + this.chunkLength(chunk) / PAGE_SIZE) >= 0;
  }

  unprotect(chunk: number): void {
    this.unprotectRange(chunk * this.state.chunkSize, this.chunkLength(chunk));
  }

  /** Makes a range of RAM writable again by the mechanism in use. */
  unprotectRange(ramOffset: number, length: number): void {
    const address = hvaOffset(this.address, ramOffset);
    if (this.state.mechanism === Mechanism.USERFAULTFD) {
      const { userfaultFd } = this.state;
      if (this.userfault.fd !== userfaultFd) this.userfault = new UserFaultFd(userfaultFd);
      this.userfault.writeProtect(address, length, false);
    } else {
      checked(mprotect(address, length, PROT.READ | PROT.WRITE), 'mprotect');
    }
  }

  /** The chunk that a page belongs to, by its number in RAM. */
  chunkOf(page: number): number {
    return Math.floor((page * PAGE_SIZE) / this.state.chunkSize);
  }

  chunkAddress(chunk: number): Hva {
    return hvaOffset(this.address, chunk * this.state.chunkSize);
  }

  chunkLength(chunk: number): number {
    return Math.min(this.state.chunkSize, this.length - chunk * this.state.chunkSize);
  }
}

const partialCounter = (counter: CowCounter): CowCounter =>
  counter === CowCounter.cow_faults ? CowCounter.cow_faults_partial : CowCounter.vmm_write_saves_partial;
