import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { TsvmmError } from '../../vmm/errors.ts';
import type { FileReference } from './manifest.ts';

/** Makes a directory's entries survive a crash of the host. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Writes a new file through to the disk, and answers the reference by which it is found and checked. */
export function writeDurably(folder: string, path: string, content: Uint8Array): FileReference {
  try {
    const fd = openSync(`${folder}/${path}`, 'wx', 0o600);
    try {
      for (let done = 0; done < content.length; ) done += writeSync(fd, content, done);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    throw new TsvmmError('TSVMM_E_DISK', `cannot write ${path} of the snapshot`, {
      hint: 'check the free space and the permissions of $TSVMM_HOME/snapshots',
      cause,
    });
  }
  return { path, bytes: content.length, crc32: crc32(content) };
}

export const encodeJson = (value: unknown): Uint8Array => Buffer.from(`${JSON.stringify(value, null, 1)}\n`);
