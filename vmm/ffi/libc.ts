/**
 * The libc calls that tsvmm makes. Each returns a result >= 0 or -errno: hot paths compare, cold paths wrap the
 * call in checked(). Addresses are numbers (see memory/address.ts).
 *
 * EINTR policy, in this one place: calls that may sleep are restarted, so that a signal meant to kick a vCPU out
 * of KVM_RUN disturbs nothing else. The exception is `ioctl`, which reports EINTR: it is how KVM_RUN tells a kick.
 */
import type { Hva } from '../memory/address.ts';
import { errno } from './errno.ts';
import { backend } from './index.ts';

const { EINTR } = errno;

export const PROT = { NONE: 0, READ: 1, WRITE: 2, EXEC: 4 } as const;
export const MAP = {
  SHARED: 1,
  PRIVATE: 2,
  FIXED: 0x10,
  ANONYMOUS: 0x20,
  NORESERVE: 0x4000,
  POPULATE: 0x8000,
} as const;
export const MADV = { DONTNEED: 4, FREE: 8, HUGEPAGE: 14, NOHUGEPAGE: 15, POPULATE_READ: 22 } as const;
export const O = { RDWR: 2, CLOEXEC: 0o2000000, NONBLOCK: 0o4000 } as const;
export const EFD = { CLOEXEC: O.CLOEXEC, NONBLOCK: O.NONBLOCK } as const;
export const RWF = { NOWAIT: 8 } as const;
export const FALLOC = { KEEP_SIZE: 1, PUNCH_HOLE: 2 } as const;
export const SYNC_FILE_RANGE = { WRITE: 2 } as const;
export const FADV = { WILLNEED: 3, DONTNEED: 4 } as const;
export const LOCK = { SHARED: 1, EXCLUSIVE: 2, NONBLOCK: 4, UNLOCK: 8 } as const;
export const EPOLL = {
  CTL_ADD: 1,
  CTL_DEL: 2,
  CTL_MOD: 3,
  IN: 1,
  OUT: 4,
  ERR: 8,
  HUP: 0x10,
  ET: 0x80000000,
} as const;

const raw = {
  read: backend.bind('read', 'i64', ['i32', 'buffer', 'u64']),
  write: backend.bind('write', 'i64', ['i32', 'buffer', 'u64']),
  writev: backend.bind('writev', 'i64', ['i32', 'buffer', 'i32']),
  pread: backend.bind('pread', 'i64', ['i32', 'address', 'u64', 'i64']),
  pwrite: backend.bind('pwrite', 'i64', ['i32', 'address', 'u64', 'i64']),
  preadv2: backend.bind('preadv2', 'i64', ['i32', 'address', 'i32', 'i64', 'i32']),
  pwritev: backend.bind('pwritev', 'i64', ['i32', 'address', 'i32', 'i64']),
  fdatasync: backend.bind('fdatasync', 'i32', ['i32']),
  fallocate: backend.bind('fallocate', 'i32', ['i32', 'i32', 'i64', 'i64']),
  epollWait: backend.bind('epoll_wait', 'i32', ['i32', 'buffer', 'i32', 'i32']),
  open: backend.bind('open', 'i32', ['cstring', 'i32', 'i32']),
};

export const open = (path: string, flags: number, mode = 0): number => {
  let result: number;
  do result = raw.open(path, flags, mode);
  while (result === -EINTR);
  return result;
};
export const close = backend.bind('close', 'i32', ['i32']) as (fd: number) => number;

/** ioctl with an integer argument. Never restarted: see the EINTR policy above. */
export const ioctl = backend.bind('ioctl', 'i32', ['i32', 'u64', 'i64']) as (
  fd: number,
  request: number,
  argument: number,
) => number;
/** ioctl with a pointer argument. */
export const ioctlBuffer = backend.bind('ioctl', 'i32', ['i32', 'u64', 'buffer']) as (
  fd: number,
  request: number,
  argument: Uint8Array,
) => number;

export const mmap = backend.bind('mmap', 'i64', ['address', 'u64', 'i32', 'i32', 'i32', 'i64']) as (
  address: number,
  length: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
) => number;
export const munmap = backend.bind('munmap', 'i32', ['address', 'u64']) as (
  address: Hva,
  length: number,
) => number;
export const mprotect = backend.bind('mprotect', 'i32', ['address', 'u64', 'i32']) as (
  address: Hva,
  length: number,
  protection: number,
) => number;
export const madvise = backend.bind('madvise', 'i32', ['address', 'u64', 'i32']) as (
  address: Hva,
  length: number,
  advice: number,
) => number;

/** Copies between two host addresses that do not overlap; both must have been checked by the caller. */
export const memcpy = backend.bind('memcpy', 'void', ['address', 'address', 'u64']) as (
  to: Hva,
  from: Hva,
  length: number,
) => unknown;
export const memset = backend.bind('memset', 'void', ['address', 'i32', 'u64']) as (
  to: Hva,
  byte: number,
  length: number,
) => unknown;

export const eventfd = backend.bind('eventfd', 'i32', ['u32', 'i32']) as (
  initial: number,
  flags: number,
) => number;
export const epollCreate = backend.bind('epoll_create1', 'i32', ['i32']) as (flags: number) => number;
export const epollControl = backend.bind('epoll_ctl', 'i32', ['i32', 'i32', 'i32', 'buffer']) as (
  epoll: number,
  operation: number,
  fd: number,
  event: Uint8Array,
) => number;

export function epollWait(epoll: number, events: Uint8Array, maximum: number, timeout_ms: number): number {
  let result: number;
  do result = raw.epollWait(epoll, events, maximum, timeout_ms);
  while (result === -EINTR);
  return result;
}

export function read(fd: number, into: Uint8Array, length: number): number {
  let result: number;
  do result = raw.read(fd, into, length);
  while (result === -EINTR);
  return result;
}

export function write(fd: number, from: Uint8Array, length: number): number {
  let result: number;
  do result = raw.write(fd, from, length);
  while (result === -EINTR);
  return result;
}

export function pread(fd: number, to: Hva, length: number, offset: number): number {
  let result: number;
  do result = raw.pread(fd, to, length, offset);
  while (result === -EINTR);
  return result;
}

export function pwrite(fd: number, from: Hva, length: number, offset: number): number {
  let result: number;
  do result = raw.pwrite(fd, from, length, offset);
  while (result === -EINTR);
  return result;
}

export const gettid = backend.bind('gettid', 'i32', []) as () => number;
export const tgkill = backend.bind('tgkill', 'i32', ['i32', 'i32', 'i32']) as (
  process: number,
  thread: number,
  signal: number,
) => number;
export const sigaction = backend.bind('sigaction', 'i32', ['i32', 'buffer', 'address']) as (
  signal: number,
  action: Uint8Array,
  old: 0,
) => number;

/** preadv2(2): fills the buffers of an iovec array; `flags` of RWF. */
export function preadv2(fd: number, vector: Hva, count: number, offset: number, flags: number): number {
  let result: number;
  do result = raw.preadv2(fd, vector, count, offset, flags);
  while (result === -EINTR);
  return result;
}

export function pwritev(fd: number, vector: Hva, count: number, offset: number): number {
  let result: number;
  do result = raw.pwritev(fd, vector, count, offset);
  while (result === -EINTR);
  return result;
}

export function fdatasync(fd: number): number {
  let result: number;
  do result = raw.fdatasync(fd);
  while (result === -EINTR);
  return result;
}

export function fallocate(fd: number, mode: number, offset: number, length: number): number {
  let result: number;
  do result = raw.fallocate(fd, mode, offset, length);
  while (result === -EINTR);
  return result;
}

/** posix_fadvise(3). Advice only: its result is of no use, and tells errors otherwise than other calls. */
export const fadvise = backend.bind('posix_fadvise', 'i32', ['i32', 'i64', 'i64', 'i32']) as (
  fd: number,
  offset: number,
  length: number,
  advice: number,
) => number;
/** sync_file_range(2): with SYNC_FILE_RANGE.WRITE begins to write dirty pages; length 0 means to the end of the file. */
export const syncFileRange = backend.bind('sync_file_range', 'i32', ['i32', 'i64', 'i64', 'u32']) as (
  fd: number,
  offset: number,
  length: number,
  flags: number,
) => number;
/** flock(2). With LOCK.NONBLOCK it says -EWOULDBLOCK when another open file holds the lock. */
export const flock = backend.bind('flock', 'i32', ['i32', 'i32']) as (
  fd: number,
  operation: number,
) => number;

/** writev(2); `vector` is an array of struct iovec. */
export function writev(fd: number, vector: Uint8Array, count: number): number {
  let result: number;
  do result = raw.writev(fd, vector, count);
  while (result === -EINTR);
  return result;
}

export const socket = backend.bind('socket', 'i32', ['i32', 'i32', 'i32']) as (
  domain: number,
  type: number,
  protocol: number,
) => number;
export const timerfdCreate = backend.bind('timerfd_create', 'i32', ['i32', 'i32']) as (
  clock: number,
  flags: number,
) => number;
/** timerfd_settime(2); `timer` is a struct itimerspec, the old setting is not asked for. */
export const timerfdSettime = backend.bind('timerfd_settime', 'i32', ['i32', 'i32', 'buffer', 'address']) as (
  fd: number,
  flags: number,
  timer: Uint8Array,
  old: 0,
) => number;
/** _exit(2): ends the process at once, without waiting for threads that sleep in the kernel. */
export const exitNow = backend.bind('_exit', 'void', ['i32']) as (code: number) => unknown;
