import { TsvmmError } from '../errors.ts';
import { backend } from '../ffi/index.ts';
import { MADV, madvise } from '../ffi/libc.ts';
import { alignUp, GIB, type Gpa, HUGE_PAGE_SIZE, type Hva, hva } from './address.ts';
import { CopyOnWrite } from './copy-on-write.ts';
import { CowState } from './cow-state.ts';
import { HOLE_END, HOLE_START } from './layout.ts';
import type { RamDescriptor } from './ram.ts';
import type { WriteGuard } from './write-guard.ts';

/** RAM is looked at through windows of this size, as V8 limits the length of one buffer. */
const WINDOW_SIZE = GIB;

/**
 * THE accessor of guest RAM: every address and length that a guest gives passes through here and is checked.
 * Each thread has one of its own over the same bytes. Scalars are little-endian.
 *
 * All methods throw TSVMM_E_GUEST_MEMORY when any byte lies outside RAM, when a scalar crosses a 1 GiB boundary, or
 * when a word for loadU16, storeU16 or compareExchangeU16 is not aligned.
 */
export class GuestMemory {
  readonly length: number;
  private readonly address: Hva;
  readonly guard: WriteGuard;
  private readonly cow: CowState;
  private readonly views: DataView[] = [];
  private readonly windows: Uint8Array[] = [];
  /** The same bytes as 16-bit words, for the atomic accesses that ring indices need. */
  private readonly words: Uint16Array[] = [];

  constructor(
    { address, length, cow }: RamDescriptor,
    guard: WriteGuard = new CopyOnWrite(cow, address, length),
  ) {
    this.address = address;
    this.length = length;
    this.guard = guard;
    this.cow = new CowState(cow);
    for (let offset = 0; offset < length; offset += WINDOW_SIZE) {
      const window = backend.view(hva(address + offset), Math.min(WINDOW_SIZE, length - offset));
      this.views.push(new DataView(window));
      this.windows.push(new Uint8Array(window));
      this.words.push(new Uint16Array(window));
    }
  }

  /** Whether [start, start + length) is RAM, all of it, on one side of the hole. */
  contains(start: Gpa, length: number): boolean {
    if (!(Number.isSafeInteger(start) && length >= 0 && start >= 0)) return false;
    const lowEnd = Math.min(this.length, HOLE_START);
    if (start + length <= lowEnd) return true;
    return start >= HOLE_END && start + length <= HOLE_END + this.length - HOLE_START;
  }

  /** Host address of a range that the caller will only read. */
  hostRange(start: Gpa, length: number): Hva {
    return hva(this.address + this.ramOffset(start, length));
  }

  /** Host address of a range that the caller is about to write, after the write guard has seen it. */
  hostRangeForWrite(start: Gpa, length: number): Hva {
    const offset = this.ramOffset(start, length);
    const address = hva(this.address + offset);
    this.guard.beforeWrite(offset, length, address);
    return address;
  }

  readU8(at: Gpa): number {
    const offset = this.ramOffset(at, 1);
    return this.viewAt(offset).getUint8(offset % WINDOW_SIZE);
  }

  readU16(at: Gpa): number {
    const offset = this.scalarOffset(at, 2);
    return this.viewAt(offset).getUint16(offset % WINDOW_SIZE, true);
  }

  readU32(at: Gpa): number {
    const offset = this.scalarOffset(at, 4);
    return this.viewAt(offset).getUint32(offset % WINDOW_SIZE, true);
  }

  /** A u64 as a number. Values of 2^53 and more lose precision: they never are valid addresses or lengths. */
  readU64(at: Gpa): number {
    const offset = this.scalarOffset(at, 8);
    const view = this.viewAt(offset);
    const low = offset % WINDOW_SIZE;
    return view.getUint32(low, true) + view.getUint32(low + 4, true) * 2 ** 32;
  }

  writeU8(at: Gpa, value: number): void {
    const offset = this.guarded(this.ramOffset(at, 1), 1);
    this.viewAt(offset).setUint8(offset % WINDOW_SIZE, value);
  }

  writeU16(at: Gpa, value: number): void {
    const offset = this.guarded(this.scalarOffset(at, 2), 2);
    this.viewAt(offset).setUint16(offset % WINDOW_SIZE, value, true);
  }

  writeU32(at: Gpa, value: number): void {
    const offset = this.guarded(this.scalarOffset(at, 4), 4);
    this.viewAt(offset).setUint32(offset % WINDOW_SIZE, value, true);
  }

  writeU64(at: Gpa, value: number): void {
    const offset = this.guarded(this.scalarOffset(at, 8), 8);
    const view = this.viewAt(offset);
    const low = offset % WINDOW_SIZE;
    view.setUint32(low, value % 2 ** 32, true);
    view.setUint32(low + 4, value / 2 ** 32, true);
  }

  /** Reads a 16-bit word that a vCPU may be writing: sequentially consistent, so that it orders what follows. */
  loadU16(at: Gpa): number {
    const offset = this.alignedOffset(at);
    return Atomics.load(this.wordsAt(offset), (offset % WINDOW_SIZE) >>> 1);
  }

  /** Publishes a 16-bit word to a vCPU: all writes before it are visible first, and reads after it stay after. */
  storeU16(at: Gpa, value: number): void {
    const offset = this.guarded(this.alignedOffset(at), 2);
    Atomics.store(this.wordsAt(offset), (offset % WINDOW_SIZE) >>> 1, value);
  }

  /** Replaces an aligned word if it is `expected`, in one atomic step; answers what it was. */
  compareExchangeU16(at: Gpa, expected: number, value: number): number {
    const offset = this.guarded(this.alignedOffset(at), 2);
    return Atomics.compareExchange(this.wordsAt(offset), (offset % WINDOW_SIZE) >>> 1, expected, value);
  }

  /** Copies RAM into `into`. */
  copyOut(start: Gpa, into: Uint8Array): void {
    if (into.byteLength === 0) return;
    const offset = this.ramOffset(start, into.byteLength);
    const within = offset % WINDOW_SIZE;
    const head = Math.min(into.byteLength, WINDOW_SIZE - within);
    into.set(this.windowAt(offset).subarray(within, within + head));
    if (head < into.byteLength)
      into.set(this.windowAt(offset + head).subarray(0, into.byteLength - head), head);
  }

  /** Copies `from` into RAM. */
  copyIn(start: Gpa, from: Uint8Array): void {
    if (from.byteLength === 0) return;
    const offset = this.guarded(this.ramOffset(start, from.byteLength), from.byteLength);
    const within = offset % WINDOW_SIZE;
    const head = Math.min(from.byteLength, WINDOW_SIZE - within);
    this.windowAt(offset).set(head === from.byteLength ? from : from.subarray(0, head), within);
    if (head < from.byteLength) this.windowAt(offset + head).set(from.subarray(head), 0);
  }

  /** Whether discard() would do anything now. */
  get mayDiscard(): boolean {
    return this.cow.mayDiscard;
  }

  /**
   * Gives memory back to the host and answers how many bytes; it reads as zeros afterwards. For the guest this is a write
   * like any other: what a snapshot needs is saved before. Only whole huge pages within the range are given back, so that
   * RAM stays in huge pages; and none while a snapshot or a lazy restore relies on what is mapped (holdDiscards).
   */
  discard(start: Gpa, length: number): number {
    const offset = this.ramOffset(start, length);
    const first = alignUp(offset, HUGE_PAGE_SIZE);
    const end = offset + length - ((offset + length) % HUGE_PAGE_SIZE);
    if (end <= first || !this.mayDiscard) return 0;
    const address = hva(this.address + first);
    this.guard.beforeWrite(first, end - first, address);
    // Locked memory (EINVAL) stays with the guest, which is no error.
    return madvise(address, end - first, MADV.DONTNEED) < 0 ? 0 : end - first;
  }

  private ramOffset(start: Gpa, length: number): number {
    if (!this.contains(start, length)) throw outsideRam(start, length);
    return start < HOLE_START ? start : start - (HOLE_END - HOLE_START);
  }

  private scalarOffset(start: Gpa, size: number): number {
    const offset = this.ramOffset(start, size);
    if ((offset % WINDOW_SIZE) + size > WINDOW_SIZE) throw misaligned(start, size);
    return offset;
  }

  private alignedOffset(start: Gpa): number {
    if (start % 2 !== 0) throw misaligned(start, 2);
    return this.ramOffset(start, 2);
  }

  private guarded(offset: number, length: number): number {
    this.guard.beforeWrite(offset, length, hva(this.address + offset));
    return offset;
  }

  private viewAt(offset: number): DataView {
    return this.views[(offset / WINDOW_SIZE) | 0] as DataView;
  }

  private windowAt(offset: number): Uint8Array {
    return this.windows[(offset / WINDOW_SIZE) | 0] as Uint8Array;
  }

  private wordsAt(offset: number): Uint16Array {
    return this.words[(offset / WINDOW_SIZE) | 0] as Uint16Array;
  }
}

const outsideRam = (start: Gpa, length: number) =>
  new TsvmmError('TSVMM_E_GUEST_MEMORY', `0x${start.toString(16)} + ${length} bytes is not in guest RAM`);
const misaligned = (start: Gpa, size: number) =>
  new TsvmmError('TSVMM_E_GUEST_MEMORY', `0x${start.toString(16)} is not aligned to ${size} bytes`);
