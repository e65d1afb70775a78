import { TsvmmError } from '../../vmm/errors.ts';
import { errno, SyscallError } from '../../vmm/ffi/errno.ts';
import { FALLOC, fallocate, pwrite, SYNC_FILE_RANGE, syncFileRange } from '../../vmm/ffi/libc.ts';
import { type Hva, hvaOffset, MIB } from '../../vmm/memory/address.ts';

/**
 * After so many bytes the kernel is asked to begin writing them to the disk, which is busy then while the rest is saved: the
 * sync at the end has little left to wait for.
 */
const WRITEBACK_BYTES = 32 * MIB;

/** An image file that is being written, by memory address. All methods throw TSVMM_E_DISK when the file system refuses. */
export class ImageFile {
  bytesWritten = 0;
  private sinceWriteback = 0;
  private readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  write(address: Hva, length: number, offset: number): void {
    for (let done = 0; done < length; ) {
      const count = pwrite(this.fd, hvaOffset(address, done), length - done, offset + done);
      if (count < 0) throw writeError(-count);
      done += count;
    }
    this.bytesWritten += length;
    this.sinceWriteback += length;
    if (this.sinceWriteback < WRITEBACK_BYTES) return;
    this.sinceWriteback = 0;
    // Of the whole file; waits for nothing. What goes wrong here the sync at the end tells.
    syncFileRange(this.fd, 0, 0, SYNC_FILE_RANGE.WRITE);
  }

  /** Gives a range's space back; it reads as zero. */
  punch(offset: number, length: number): void {
    const result = fallocate(this.fd, FALLOC.PUNCH_HOLE + FALLOC.KEEP_SIZE, offset, length);
    if (result < 0) throw writeError(-result);
  }
}

const writeError = (errorNumber: number) =>
  new TsvmmError('TSVMM_E_DISK', 'the snapshot cannot be written', {
    hint:
      errorNumber === errno.ENOSPC
        ? 'free space on the file system of $TSVMM_HOME'
        : 'look at the kernel log',
    cause: new SyscallError('pwrite', errorNumber),
  });
