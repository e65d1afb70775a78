import { checked } from '../ffi/errno.ts';
import { memcpy, mprotect, PROT } from '../ffi/libc.ts';
import { type Hva, hvaOffset, PAGE_SIZE } from './address.ts';
import { CowCounter, CowState, Mechanism } from './cow-state.ts';
import { UserFaultFd } from './userfaultfd.ts';
import type { WriteGuard } from './write-guard.ts';

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
    if (!this.state.armed) return;
    const { chunkSize } = this.state;
    const last = Math.floor((ramOffset + Math.max(length, 1) - 1) / chunkSize);
    for (let chunk = Math.floor(ramOffset / chunkSize); chunk <= last; chunk++) {
      if (this.state.mechanism === Mechanism.LOG) this.state.noteWritten(chunk);
      else this.save(chunk, CowCounter.vmm_write_saves);
    }
  }

  /**
   * Copies the chunk out and unprotects it, as far as that has not been done in this epoch. True when this call did
   * something. On return the chunk may be written. The time it took to copy is counted as the writer's stall.
   */
  save(chunk: number, counter: CowCounter): boolean {
    const { state } = this;
    if (state.isReleased(chunk)) return false;
    state.enterWriter();
    try {
      return this.saveAsWriter(chunk, counter);
    } finally {
      state.leaveWriter();
    }
  }

  private saveAsWriter(chunk: number, counter: CowCounter): boolean {
    const { state } = this;
    const started = performance.now();
    if (!state.claimForCopy(chunk)) return this.finishRelease(chunk);
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
    const chunk = Math.floor((firstPage * PAGE_SIZE) / chunkSize);
    if (!state.armed || state.isReleased(chunk)) return;
    if (chunkSize === PAGE_SIZE || !eagerPages.hasRoomFor(pageCount)) {
      this.save(chunk, CowCounter.chunks_eager);
      return;
    }
    const offset = firstPage * PAGE_SIZE;
    const length = pageCount * PAGE_SIZE;
    memcpy(state.eagerAddress(eagerPages.add(firstPage, pageCount)), hvaOffset(this.address, offset), length);
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

  chunkAddress(chunk: number): Hva {
    return hvaOffset(this.address, chunk * this.state.chunkSize);
  }

  chunkLength(chunk: number): number {
    return Math.min(this.state.chunkSize, this.length - chunk * this.state.chunkSize);
  }
}
