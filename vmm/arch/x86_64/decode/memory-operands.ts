/** What parse and operand analysis found out about an instruction, as bits. */
export const OperandFlag = {
  /** The bytes are no instruction that we know: it may write anything. */
  UNKNOWN: 1,
  /** The bytes end before the instruction does. */
  TRUNCATED: 2,
  /** It may write memory that the list does not name. */
  INCOMPLETE: 4,
  /** It loads segment descriptors: their accessed or busy bits may be set, and a gate may switch stacks. */
  DESCRIPTOR: 8,
  /** The addresses depend on vector registers: see vector-index.ts. Always together with INCOMPLETE. */
  VECTOR_INDEX: 16,
} as const;

/** Bits of one operand's kind. */
export const Access = {
  READ: 0,
  WRITE: 1,
  /** The range is worked through from its end to its start. */
  DESCENDING: 2,
} as const;

/**
 * The ranges of linear addresses that an instruction accesses. Outside of 64-bit mode a range may pass 4 GiB and
 * goes on at 0.
 */
export class MemoryOperands {
  /** Gathers have up to 16 elements, tiles 16 rows. */
  static readonly CAPACITY = 20;

  /** Bytes of the instruction; 0 if unknown. */
  length = 0;
  /** Bits of OperandFlag. */
  flags = 0;
  count = 0;
  readonly low = new Uint32Array(MemoryOperands.CAPACITY);
  readonly high = new Uint32Array(MemoryOperands.CAPACITY);
  /** Bytes; more than 2^32 only for a repeated string instruction. */
  readonly bytes = new Float64Array(MemoryOperands.CAPACITY);
  /** Bits of Access. */
  readonly access = new Uint8Array(MemoryOperands.CAPACITY);

  clear(): void {
    this.length = 0;
    this.flags = 0;
    this.count = 0;
  }

  /** Appends a range; where it does not fit, the list becomes incomplete. */
  add(low: number, high: number, bytes: number, access: number): void {
    if (this.count === MemoryOperands.CAPACITY) {
      this.flags |= OperandFlag.INCOMPLETE;
      return;
    }
    const at = this.count++;
    this.low[at] = low;
    this.high[at] = high;
    this.bytes[at] = bytes;
    this.access[at] = access;
  }
}
