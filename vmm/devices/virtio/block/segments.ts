import { type Gpa, gpaOffset, type Hva, hva } from '../../../memory/address.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { DescriptorChain } from '../chain.ts';

/** The data of one request as ranges of host memory, in order. Reused for every request. */
export class Segments {
  count = 0;
  /** Sum of the lengths, in bytes. */
  total = 0;
  private readonly addresses: Float64Array;
  private readonly lengths: Float64Array;

  constructor(capacity: number) {
    this.addresses = new Float64Array(capacity);
    this.lengths = new Float64Array(capacity);
  }

  address(index: number): Hva {
    return hva(this.addresses[index] as number);
  }

  length(index: number): number {
    return this.lengths[index] as number;
  }

  clear(): void {
    this.count = 0;
    this.total = 0;
  }

  append(address: Hva, length: number): void {
    this.addresses[this.count] = address;
    this.lengths[this.count] = length;
    this.count++;
    this.total += length;
  }

  /** Sets the segments to the driver's data, to be read: what follows the first `skip` readable bytes. */
  setReadable(memory: GuestMemory, chain: DescriptorChain, skip: number): void {
    this.clear();
    let toSkip = skip;
    for (let i = 0; i < chain.readableCount; i++) {
      const length = chain.length(i);
      if (toSkip >= length) {
        toSkip -= length;
        continue;
      }
      this.append(memory.hostRange(gpaOffset(chain.address(i), toSkip), length - toSkip), length - toSkip);
      toSkip = 0;
    }
  }

  /** Sets the segments to the first `limit` writable bytes of the chain, after the write guard has seen them. */
  setWritable(memory: GuestMemory, chain: DescriptorChain, limit: number): void {
    this.clear();
    for (let i = chain.readableCount; i < chain.count && this.total < limit; i++) {
      const length = Math.min(chain.length(i), limit - this.total);
      if (length > 0) this.append(memory.hostRangeForWrite(chain.address(i) as Gpa, length), length);
    }
  }
}
