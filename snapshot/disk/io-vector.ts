import type { Segments } from '../../vmm/devices/virtio/block/segments.ts';
import { struct, usize } from '../../vmm/ffi/struct.ts';
import { type Hva, hva } from '../../vmm/memory/address.ts';
import { allocateHostBuffer } from './host-buffer.ts';

/** iovec(3type). */
const ioVector = struct('iovec', { iov_base: usize, iov_len: usize });
const BASE = ioVector.offsets.iov_base;
const LENGTH = ioVector.offsets.iov_len;

/** The array of buffers that preadv(2) and pwritev(2) take, reused for every transfer. */
export class IoVector {
  /** Sum of the lengths, in bytes. */
  total = 0;
  private first = 0;
  private end = 0;
  private readonly memory;
  private readonly view: DataView;

  constructor(capacity: number) {
    this.memory = allocateHostBuffer(capacity * ioVector.size);
    this.view = new DataView(this.memory.bytes.buffer);
  }

  /** Where the array is, for the system call. */
  get address(): Hva {
    return hva(this.memory.address + this.first * ioVector.size);
  }

  get count(): number {
    return this.end - this.first;
  }

  /** Holds `length` bytes of `data`, after the first `skip`. */
  setSlice(data: Segments, skip: number, length: number): void {
    this.clear();
    let toSkip = skip;
    for (let i = 0; this.total < length; i++) {
      const available = data.length(i);
      if (toSkip >= available) {
        toSkip -= available;
        continue;
      }
      this.append(hva(data.address(i) + toSkip), Math.min(available - toSkip, length - this.total));
      toSkip = 0;
    }
  }

  setOne(address: Hva, length: number): void {
    this.clear();
    this.append(address, length);
  }

  /** Leaves out the first `transferred` bytes, after a call that did part of the work. */
  advance(transferred: number): void {
    this.total -= transferred;
    let rest = transferred;
    while (rest > 0) {
      const at = this.first * ioVector.size;
      const length = this.bufferLength(this.first);
      if (rest >= length) {
        this.first++;
        rest -= length;
      } else {
        this.put(at + BASE, this.bufferAddress(this.first) + rest);
        this.put(at + LENGTH, length - rest);
        rest = 0;
      }
    }
  }

  /** Calls `visit` with each buffer; for files that are no files (tests). */
  forEach(visit: (address: Hva, length: number) => void): void {
    for (let i = this.first; i < this.end; i++) visit(hva(this.bufferAddress(i)), this.bufferLength(i));
  }

  free(): void {
    this.memory.free();
  }

  private clear(): void {
    this.first = 0;
    this.end = 0;
    this.total = 0;
  }

  private append(address: Hva, length: number): void {
    const at = this.end * ioVector.size;
    this.put(at + BASE, address);
    this.put(at + LENGTH, length);
    this.end++;
    this.total += length;
  }

  private bufferAddress(index: number): number {
    return ioVector.fields.iov_base.read(this.view, index * ioVector.size + BASE);
  }

  private bufferLength(index: number): number {
    return ioVector.fields.iov_len.read(this.view, index * ioVector.size + LENGTH);
  }

  private put(at: number, value: number): void {
    this.view.setUint32(at, value % 2 ** 32, true);
    this.view.setUint32(at + 4, value / 2 ** 32, true);
  }
}
