import { SyscallError } from '../ffi/errno.ts';
import { close, EFD, eventfd, read, write } from '../ffi/libc.ts';

const one = new Uint8Array(new BigUint64Array([1n]).buffer);
const scratch = new Uint8Array(8);

/** Creates an eventfd (eventfd(2)): non-blocking, closed on exec. Throws SyscallError. */
export function createEventFd(): number {
  const fd = eventfd(0, EFD.CLOEXEC | EFD.NONBLOCK);
  if (fd < 0) throw new SyscallError('eventfd', -fd);
  return fd;
}

/** Adds 1. Allocates nothing; a full counter (2^64-2 signals unread) cannot happen. */
export const signalEventFd = (fd: number): void => void write(fd, one, 8);

/** Resets the counter; true when it was signalled since. */
export const drainEventFd = (fd: number): boolean => read(fd, scratch, 8) === 8;

export const closeEventFd = (fd: number): void => void close(fd);
