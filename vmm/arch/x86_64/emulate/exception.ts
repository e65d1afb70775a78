/** Vectors of exceptions, SDM vol. 3A, table 6-1. */
export const Vector = { DE: 0, DB: 1, BP: 3, UD: 6, NM: 7, SS: 12, GP: 13, PF: 14, MF: 16 } as const;

/** Bits of a page fault's error code, SDM vol. 3A, figure 4-12. */
export const PageFault = { PRESENT: 1, WRITE: 2, USER: 4 } as const;

/**
 * Thrown by what completes an instruction when the instruction faults instead: the guest gets the exception. Nothing of
 * the guest's state has been changed by then. Not an Error, as nobody is interested in our stack.
 */
export class GuestException {
  readonly vector: number;
  /** Undefined for vectors without one. */
  readonly errorCode: number | undefined;
  /** For CR2, with a page fault. */
  readonly address: bigint | undefined;

  constructor(vector: number, errorCode?: number, address?: bigint) {
    this.vector = vector;
    this.errorCode = errorCode;
    this.address = address;
  }
}

/** Thrown when the instruction wants what cannot be done here, such as vector moves to a device. */
export class NotEmulated {
  readonly why: string;

  constructor(why: string) {
    this.why = why;
  }
}
