import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { TsvmmError } from '../../vmm/errors.ts';
import { errno } from '../../vmm/ffi/errno.ts';
import { FADV, FALLOC, fadvise, fallocate, fdatasync, preadv2, pwritev, RWF } from '../../vmm/ffi/libc.ts';
import { corrupt } from './corrupt.ts';
import type { IoVector } from './io-vector.ts';

/**
 * A file as a disk uses it. The hot operations take host addresses and answer >= 0 or -errno; the cold ones, for
 * headers and maps, take bytes. Tests put a recording file in its place, to lose power between any two of its calls.
 */
export interface BlockFile {
  readonly path: string;
  readonly size: number;
  /**
   * Fills all buffers of `vector`, which is used up, from `offset`; 0 when done. Unless it `mayBlock`, it answers
   * -EAGAIN instead of waiting for the host's disk. The end of the file is an error: -EIO.
   */
  read(vector: IoVector, offset: number, mayBlock: boolean): number;
  /** Stores all buffers of `vector`, which is used up; 0 when done. */
  write(vector: IoVector, offset: number): number;
  /** Returns 0 when all that was written is on stable storage (fdatasync(2)). */
  sync(): number;
  /** Gives the range's space back; it reads as zeros afterwards. Where the file system cannot, nothing happens. */
  punch(offset: number, length: number): void;
  /** The range is read soon. */
  willNeed(offset: number, length: number): void;
  /** Reads up to bytes.length bytes; throws SyscallError. Returns their number. */
  readAt(bytes: Uint8Array, offset: number): number;
  /** Writes all the bytes; 0 or -errno. */
  writeAt(bytes: Uint8Array, offset: number): number;
  close(): void;
}

const { EAGAIN, EIO, EOPNOTSUPP } = errno;

/** A file of the host's file system. */
export class HostFile implements BlockFile {
  readonly path: string;
  readonly size: number;
  readonly modified_ns: bigint;
  /** How many names the file has. */
  readonly linkCount: number;
  private readonly fd: number;
  /** Flags for a read that must not wait; 0 once the file system has said that it cannot tell. */
  private dontWait: number = RWF.NOWAIT;

  /**
   * Opens an existing regular file. Throws TSVMM_E_DISK when that is not possible, TSVMM_E_DISK_CORRUPT when it is
   * something else than a file.
   */
  constructor(path: string, { writable }: { writable: boolean }) {
    this.path = path;
    try {
      // O_NONBLOCK: a hostile snapshot's named pipe must not make us wait for its other end.
      const access = writable ? constants.O_RDWR : constants.O_RDONLY;
      this.fd = openSync(path, access | constants.O_NONBLOCK | constants.O_NOCTTY);
    } catch (cause) {
      throw new TsvmmError('TSVMM_E_DISK', `cannot open ${path}: ${(cause as NodeJS.ErrnoException).code}`, {
        cause,
      });
    }
    const stat = fstatSync(this.fd, { bigint: true });
    this.size = Number(stat.size);
    this.modified_ns = stat.mtimeNs;
    this.linkCount = Number(stat.nlink);
    if (stat.isFile()) return;
    closeSync(this.fd);
    throw corrupt(path, 'not a regular file');
  }

  read(vector: IoVector, offset: number, mayBlock: boolean): number {
    let at = offset;
    for (;;) {
      const flags = mayBlock ? 0 : this.dontWait;
      const result = preadv2(this.fd, vector.address, vector.count, at, flags);
      if (result === vector.total) return 0;
      if (result > 0) {
        vector.advance(result);
        at += result;
      } else if (result === -EOPNOTSUPP && flags !== 0) {
        this.dontWait = 0;
      } else {
        return result === 0 ? -EIO : result;
      }
    }
  }

  write(vector: IoVector, offset: number): number {
    let at = offset;
    for (;;) {
      const result = pwritev(this.fd, vector.address, vector.count, at);
      if (result === vector.total) return 0;
      if (result <= 0) return result === 0 ? -EIO : result;
      vector.advance(result);
      at += result;
    }
  }

  sync(): number {
    return fdatasync(this.fd);
  }

  punch(offset: number, length: number): void {
    fallocate(this.fd, FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE, offset, length);
  }

  willNeed(offset: number, length: number): void {
    fadvise(this.fd, offset, length, FADV.WILLNEED);
  }

  readAt(bytes: Uint8Array, offset: number): number {
    let done = 0;
    while (done < bytes.length) {
      const count = readSync(this.fd, bytes, done, bytes.length - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  writeAt(bytes: Uint8Array, offset: number): number {
    try {
      let done = 0;
      while (done < bytes.length) done += writeSync(this.fd, bytes, done, bytes.length - done, offset + done);
      return 0;
    } catch (error) {
      return -Math.abs((error as NodeJS.ErrnoException).errno ?? EIO);
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** What BlockFile.read answers for data that is not in the host's memory. */
export const NOT_CACHED = -EAGAIN;
