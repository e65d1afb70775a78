import { constants } from 'node:os';
import { type ErrorCode, TsvmmError } from '../errors.ts';

export const errno = constants.errno;

const names = new Map(Object.entries(errno).map(([name, number]) => [number, name]));

/** A libc or kernel call that failed; `errno` is the symbolic name. */
export class SyscallError extends TsvmmError {
  readonly errno: string;

  constructor(call: string, errorNumber: number, code: ErrorCode = 'TSVMM_E_SYSCALL', hint?: string) {
    const name = names.get(errorNumber) ?? `errno ${errorNumber}`;
    super(code, `${call} failed: ${name}`, {
      ...(hint === undefined ? {} : { hint }),
      details: { call, errno: name },
    });
    this.errno = name;
  }
}

/** Passes a result >= 0 through; turns -errno into a SyscallError. For cold paths. */
export function checked(result: number, call: string): number {
  if (result < 0) throw new SyscallError(call, -result);
  return result;
}
