import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { TsvmmError } from '../errors.ts';
import { checked } from '../ffi/errno.ts';
import { pread } from '../ffi/libc.ts';
import { type Gpa, hvaOffset } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';

/** A file that a guest boots from: bounded reads, and copies straight into guest RAM. */
export class KernelFile {
  readonly path: string;
  readonly size: number;
  private readonly fd: number;

  /** Throws TSVMM_E_IMAGE_NOT_FOUND, TSVMM_E_IMAGE_INVALID. `wanted` says what kind of file it should be. */
  static open(path: string, wanted: string): KernelFile {
    let fd: number;
    try {
      // A pipe would otherwise keep us waiting for a writer.
      fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (cause) {
      throw new TsvmmError('TSVMM_E_IMAGE_NOT_FOUND', `cannot read the image ${path}`, {
        hint: 'check the path; tsvmm image ls shows the built images',
        cause,
      });
    }
    const stat = fstatSync(fd);
    if (stat.isFile()) return new KernelFile(path, stat.size, fd);
    closeSync(fd);
    throw new TsvmmError('TSVMM_E_IMAGE_INVALID', `${path} is not a regular file`, {
      hint: `name ${wanted}`,
    });
  }

  private constructor(path: string, size: number, fd: number) {
    this.path = path;
    this.size = size;
    this.fd = fd;
  }

  /** Fewer bytes than asked at the end of the file. */
  read(offset: number, length: number): Uint8Array {
    const buffer = new Uint8Array(length);
    return buffer.subarray(0, readSync(this.fd, buffer, 0, length, offset));
  }

  /** Copies `length` bytes at `offset` to `to`, which is RAM. Throws TSVMM_E_IMAGE_INVALID when the file ends before. */
  copyInto(memory: GuestMemory, to: Gpa, offset: number, length: number): void {
    const destination = memory.hostRangeForWrite(to, length);
    for (let done = 0; done < length; ) {
      const count = pread(this.fd, hvaOffset(destination, done), length - done, offset + done);
      if (checked(count, `read of ${this.path}`) === 0) {
        throw new TsvmmError('TSVMM_E_IMAGE_INVALID', `${this.path} became shorter while it was being read`);
      }
      done += count;
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}
