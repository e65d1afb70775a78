import { SyscallError } from '../../vmm/ffi/errno.ts';

/** Throws TSVMM_E_DISK if `result`, of doing `what`, is -errno. */
export function succeeded(result: number, what: string): void {
  if (result >= 0) return;
  throw new SyscallError(what, -result, 'TSVMM_E_DISK', 'look at the space and the health of the host disk');
}
