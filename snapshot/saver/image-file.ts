import { TsvmmError } from '../../vmm/errors.ts';
import { errno, SyscallError } from '../../vmm/ffi/errno.ts';
import { FALLOC, fallocate, pwrite } from '../../vmm/ffi/libc.ts';
import { type Hva, hvaOffset } from '../../vmm/memory/address.ts';

/** An image file that is being written, by memory address. All methods throw TSVMM_E_DISK when the file system refuses. */
export class ImageFile {
  bytesWritten = 0;
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
