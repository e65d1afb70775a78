import { struct, usize } from './struct.ts';

/** iovec(3type). */
export const iovec = struct('iovec', { iov_base: usize, iov_len: usize });
