import { TsvmmError } from '../../../errors.ts';
import { type Gpa, gpa, gpaOffset } from '../../../memory/address.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { DescriptorChain } from '../chain.ts';

/** struct virtio_blk_req (section 5.2.6) before its data: type, reserved, sector. */
export const HEADER_BYTES = 16;
/** struct virtio_blk_discard_write_zeroes (section 5.2.6): sector, num_sectors, flags. */
export const RANGE_BYTES = 16;

/**
 * The header and the place of the status byte of one request. The driver may split a request into buffers as it
 * likes (section 2.7.4), so both are found by position, and every field is read once.
 */
export class BlockRequest {
  type = 0;
  /** First sector; not yet compared with the capacity, and not exact from 2^53 on. */
  sector = 0;
  status: Gpa = gpa(0);
  private readonly memory: GuestMemory;
  private readonly scratch = new Uint8Array(HEADER_BYTES);
  private readonly scratchView = new DataView(this.scratch.buffer);

  constructor(memory: GuestMemory) {
    this.memory = memory;
  }

  /** Throws TSVMM_E_GUEST_MEMORY for a chain that is no request, having no header or no status byte. */
  parse(chain: DescriptorChain): void {
    if (chain.readableBytes < HEADER_BYTES || chain.writableBytes === 0) {
      throw new TsvmmError('TSVMM_E_GUEST_MEMORY', 'a block request without header or status byte');
    }
    const at = chain.address(0);
    // An aligned header cannot cross one of the windows in which guest memory is seen.
    if (chain.length(0) >= HEADER_BYTES && at % 8 === 0) {
      this.type = this.memory.readU32(at);
      this.sector = this.memory.readU64(gpaOffset(at, 8));
    } else {
      gather(this.memory, chain, 0, this.scratch);
      this.type = this.scratchView.getUint32(0, true);
      this.sector = this.scratchView.getUint32(8, true) + this.scratchView.getUint32(12, true) * 2 ** 32;
    }
    let last = chain.count - 1;
    while (chain.length(last) === 0) last--;
    this.status = gpaOffset(chain.address(last), chain.length(last) - 1);
  }
}

/** Copies the driver's bytes from `skip` on until `into` is full; the chain has that many. */
export function gather(memory: GuestMemory, chain: DescriptorChain, skip: number, into: Uint8Array): void {
  let toSkip = skip;
  let filled = 0;
  for (let i = 0; i < chain.readableCount && filled < into.length; i++) {
    const length = chain.length(i);
    if (toSkip >= length) {
      toSkip -= length;
      continue;
    }
    const part = Math.min(length - toSkip, into.length - filled);
    memory.copyOut(gpaOffset(chain.address(i), toSkip), into.subarray(filled, filled + part));
    filled += part;
    toSkip = 0;
  }
}
