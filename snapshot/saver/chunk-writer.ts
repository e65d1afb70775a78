import { crc32 } from 'node:zlib';
import { TsvmmError } from '../../vmm/errors.ts';
import { errno, SyscallError } from '../../vmm/ffi/errno.ts';
import { backend } from '../../vmm/ffi/index.ts';
import { pwrite } from '../../vmm/ffi/libc.ts';
import { type Hva, hvaOffset, PAGE_SIZE } from '../../vmm/memory/address.ts';
import { isZeroPage, isZeroRange } from './zero-pages.ts';

/** fallocate(2): gives a range's space back; it reads as zero. */
const fallocate = backend.bind('fallocate', 'i32', ['i32', 'i32', 'i64', 'i64']);
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

export interface ChunkRecord {
  /** CRC-32 of the chunk's bytes, zeros included. */
  crc: number;
  zeroPages: number;
}

/** Writes chunks of RAM to their place in a sparse image file: page p lies at p * 4 KiB, zero pages are holes. */
export class ChunkWriter {
  readonly records: (ChunkRecord | undefined)[];
  bytesWritten = 0;
  private readonly fd: number;
  private readonly chunkSize: number;

  constructor(fd: number, chunkSize: number, chunkCount: number) {
    this.fd = fd;
    this.chunkSize = chunkSize;
    this.records = new Array(chunkCount);
  }

  /**
   * Writes the `length` bytes at `address` as chunk number `chunk`. `rewrite` says that something else may have been
   * written there before. Throws TSVMM_E_DISK when the file system refuses.
   */
  write(chunk: number, address: Hva, length: number, rewrite: boolean): void {
    const offset = chunk * this.chunkSize;
    if (rewrite) this.punch(offset, length);
    if (isZeroRange(address, length)) {
      this.records[chunk] = { crc: 0, zeroPages: length / PAGE_SIZE };
      return;
    }
    let zeroPages = 0;
    let runStart = 0;
    for (let at = 0; at < length; at += PAGE_SIZE) {
      if (!isZeroPage(hvaOffset(address, at))) continue;
      this.writeRun(hvaOffset(address, runStart), at - runStart, offset + runStart);
      runStart = at + PAGE_SIZE;
      zeroPages++;
    }
    this.writeRun(hvaOffset(address, runStart), length - runStart, offset + runStart);
    this.records[chunk] = { crc: crc32(this.view(address, length)), zeroPages };
  }

  private writeRun(address: Hva, length: number, offset: number): void {
    for (let done = 0; done < length; ) {
      const count = pwrite(this.fd, hvaOffset(address, done), length - done, offset + done);
      if (count < 0) throw writeError(-count);
      done += count;
    }
    this.bytesWritten += length;
  }

  private punch(offset: number, length: number): void {
    const result = fallocate(this.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
    if (result < 0) throw writeError(-result);
  }

  private view(address: Hva, length: number): Uint8Array {
    return new Uint8Array(backend.view(address, length));
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
