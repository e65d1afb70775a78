import { type Gpa, gpa } from '../../memory/address.ts';

/**
 * The buffers of one request, filled in by VirtQueue.pop, already validated: all in RAM, device-readable ones
 * first. Reused for every request, so that popping allocates nothing.
 */
export class DescriptorChain {
  /** Index that goes back to the driver in the used ring. */
  head = 0;
  /** Number of buffers, and how many of them, from the first, the device may only read. */
  count = 0;
  readableCount = 0;
  readableBytes = 0;
  writableBytes = 0;
  private readonly addresses: Float64Array;
  private readonly lengths: Float64Array;

  /** `capacity` is the queue size: no chain is longer (virtio 1.2 section 2.7.5.3.1). */
  constructor(capacity: number) {
    this.addresses = new Float64Array(capacity);
    this.lengths = new Float64Array(capacity);
  }

  get capacity(): number {
    return this.addresses.length;
  }

  address(index: number): Gpa {
    return gpa(this.addresses[index] as number);
  }

  length(index: number): number {
    return this.lengths[index] as number;
  }

  reset(head: number): void {
    this.head = head;
    this.count = 0;
    this.readableCount = 0;
    this.readableBytes = 0;
    this.writableBytes = 0;
  }

  append(address: Gpa, length: number, writable: boolean): void {
    this.addresses[this.count] = address;
    this.lengths[this.count] = length;
    this.count++;
    if (writable) {
      this.writableBytes += length;
    } else {
      this.readableCount++;
      this.readableBytes += length;
    }
  }
}
