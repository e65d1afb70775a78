import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { DescriptorChain } from '../chain.ts';
import { type BlockBackend, type BlockResult, WOULD_BLOCK } from './backend.ts';
import {
  MAXIMUM_DISCARD_RANGES,
  MAXIMUM_DISCARD_SECTORS,
  QUEUE_SIZE,
  RequestStatus,
  RequestType,
  SECTOR_SIZE,
} from './model.ts';
import { BlockRequest, gather, HEADER_BYTES, RANGE_BYTES } from './request.ts';
import { Segments } from './segments.ts';

/** What execute() answers instead of a length when the backend said WOULD_BLOCK. */
export const BLOCKED = -1;

const ID_BYTES = 20;
const FLAG_UNMAP = 1;

export interface ExecutorOptions {
  readonly sectorCount: number;
  readonly readOnly: boolean;
  /** What GET_ID answers, at most 20 ASCII characters. */
  readonly id: string;
}

/** What the driver agreed to that matters to requests. */
export interface Negotiated {
  flush: boolean;
  discard: boolean;
  writeZeroes: boolean;
}

/** Carries out block requests (section 5.2.6), each whole or, if it is not valid, not at all. */
export class RequestExecutor {
  readonly negotiated: Negotiated = { flush: false, discard: false, writeZeroes: false };
  private readonly memory: GuestMemory;
  private readonly backend: BlockBackend;
  private readonly sectorCount: number;
  private readonly readOnly: boolean;
  private readonly id = new Uint8Array(ID_BYTES);
  private readonly request: BlockRequest;
  private readonly segments = new Segments(QUEUE_SIZE);
  private readonly ranges = new Uint8Array(MAXIMUM_DISCARD_RANGES * RANGE_BYTES);
  private readonly rangeView = new DataView(this.ranges.buffer);

  constructor(memory: GuestMemory, backend: BlockBackend, options: ExecutorOptions) {
    this.memory = memory;
    this.backend = backend;
    this.sectorCount = options.sectorCount;
    this.readOnly = options.readOnly;
    this.id.set(new TextEncoder().encode(options.id).subarray(0, ID_BYTES));
    this.request = new BlockRequest(memory);
  }

  /**
   * Carries out the request in `chain` and writes its status. Returns the number of bytes written for the used ring,
   * or BLOCKED, in which case nothing has happened. Throws TSVMM_E_GUEST_MEMORY for what is not a request.
   */
  execute(chain: DescriptorChain): number {
    const { request } = this;
    request.parse(chain);
    switch (request.type) {
      case RequestType.IN:
        return this.read(chain);
      case RequestType.OUT:
        return this.write(chain);
      case RequestType.FLUSH:
        return this.finish(this.backend.flush(), 0);
      case RequestType.GET_ID:
        return this.identify(chain);
      case RequestType.DISCARD:
        return this.changeRanges(chain, this.negotiated.discard);
      case RequestType.WRITE_ZEROES:
        return this.changeRanges(chain, this.negotiated.writeZeroes);
      default:
        return this.end(RequestStatus.UNSUPP, 0);
    }
  }

  /** Tells the backend of the read in `chain`, if it is one, that comes soon. */
  announce(chain: DescriptorChain): void {
    const { request } = this;
    request.parse(chain);
    const length = chain.writableBytes - 1;
    if (request.type === RequestType.IN && length > 0 && this.inCapacity(request.sector, length))
      this.backend.prefetch(request.sector * SECTOR_SIZE, length);
  }

  private read(chain: DescriptorChain): number {
    const { sector } = this.request;
    const length = chain.writableBytes - 1;
    if (!this.inCapacity(sector, length)) return this.end(RequestStatus.IOERR, 0);
    if (length === 0) return this.end(RequestStatus.OK, 0);
    this.segments.setWritable(this.memory, chain, length);
    return this.finish(this.backend.read(sector * SECTOR_SIZE, this.segments), length);
  }

  private write(chain: DescriptorChain): number {
    const { sector } = this.request;
    const length = chain.readableBytes - HEADER_BYTES;
    if (this.readOnly || !this.inCapacity(sector, length)) return this.end(RequestStatus.IOERR, 0);
    if (length === 0) return this.end(RequestStatus.OK, 0);
    this.segments.setReadable(this.memory, chain, HEADER_BYTES);
    return this.finish(this.stableWhenDone(this.backend.write(sector * SECTOR_SIZE, this.segments)), 0);
  }

  private identify(chain: DescriptorChain): number {
    const length = Math.min(chain.writableBytes - 1, ID_BYTES);
    let copied = 0;
    for (let i = chain.readableCount; i < chain.count && copied < length; i++) {
      const part = Math.min(chain.length(i), length - copied);
      this.memory.copyIn(chain.address(i), this.id.subarray(copied, copied + part));
      copied += part;
    }
    return this.end(RequestStatus.OK, copied);
  }

  /** DISCARD and WRITE_ZEROES: all ranges are validated before the first is touched. */
  private changeRanges(chain: DescriptorChain, negotiated: boolean): number {
    if (this.readOnly) return this.end(RequestStatus.IOERR, 0);
    if (!negotiated) return this.end(RequestStatus.UNSUPP, 0);
    const length = chain.readableBytes - HEADER_BYTES;
    if (length === 0 || length % RANGE_BYTES !== 0 || length > this.ranges.length)
      return this.end(RequestStatus.IOERR, 0);
    gather(this.memory, chain, HEADER_BYTES, this.ranges.subarray(0, length));

    const discard = this.request.type === RequestType.DISCARD;
    for (let at = 0; at < length; at += RANGE_BYTES) {
      const flags = this.rangeView.getUint32(at + 12, true);
      // "MUST set the status byte to UNSUPP ... if any unknown flag is set", for discards the known one too.
      if ((flags & ~(discard ? 0 : FLAG_UNMAP)) !== 0) return this.end(RequestStatus.UNSUPP, 0);
      const sectors = this.rangeSectors(at);
      if (sectors > MAXIMUM_DISCARD_SECTORS || !this.inCapacity(this.rangeStart(at), sectors * SECTOR_SIZE))
        return this.end(RequestStatus.IOERR, 0);
    }

    let result: BlockResult = 0;
    for (let at = 0; at < length && result === 0; at += RANGE_BYTES) {
      const start = this.rangeStart(at) * SECTOR_SIZE;
      const bytes = this.rangeSectors(at) * SECTOR_SIZE;
      if (bytes === 0) continue;
      result = discard ? this.backend.discard(start, bytes) : this.backend.writeZeroes(start, bytes);
    }
    return this.finish(this.stableWhenDone(result), 0);
  }

  private rangeStart(at: number): number {
    return this.rangeView.getUint32(at, true) + this.rangeView.getUint32(at + 4, true) * 2 ** 32;
  }

  private rangeSectors(at: number): number {
    return this.rangeView.getUint32(at + 8, true);
  }

  /** Section 5.2.6.2: for a driver that does not flush, a write is stable as soon as it is completed. */
  private stableWhenDone(result: BlockResult): BlockResult {
    if (result !== 0 || this.negotiated.flush) return result;
    const flushed = this.backend.flush();
    if (flushed !== WOULD_BLOCK) return flushed;
    this.backend.wait();
    return this.backend.flush();
  }

  private inCapacity(sector: number, length: number): boolean {
    return length % SECTOR_SIZE === 0 && sector + length / SECTOR_SIZE <= this.sectorCount;
  }

  private finish(result: BlockResult, writtenBytes: number): number {
    if (result === WOULD_BLOCK) return BLOCKED;
    return result === 0 ? this.end(RequestStatus.OK, writtenBytes) : this.end(RequestStatus.IOERR, 0);
  }

  private end(status: number, writtenBytes: number): number {
    this.memory.writeU8(this.request.status, status);
    return writtenBytes + 1;
  }
}
