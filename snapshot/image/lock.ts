import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';
import { checked, errno } from '../../vmm/ffi/errno.ts';
import { flock, LOCK } from '../../vmm/ffi/libc.ts';

export interface SnapshotLock {
  /** Idempotent. */
  release(): void;
}

/**
 * Keeps others from removing or rewriting a snapshot ('shared': whoever reads it, or builds on it), or from using it at
 * all ('exclusive'). By flock(2) on its folder, so that it ends with the process. Throws TSVMM_E_CONFLICT,
 * TSVMM_E_NOT_FOUND.
 */
export function lockSnapshot(folder: string, kind: 'shared' | 'exclusive'): SnapshotLock {
  let fd: number;
  try {
    fd = openSync(folder, 'r');
  } catch (cause) {
    throw gone(folder, cause);
  }
  let held = true;
  const release = () => {
    if (held) closeSync(fd);
    held = false;
  };
  const result = flock(fd, (kind === 'shared' ? LOCK.SHARED : LOCK.EXCLUSIVE) | LOCK.NONBLOCK);
  if (result === -errno.EWOULDBLOCK) {
    release();
    throw new TsvmmError('TSVMM_E_CONFLICT', `the snapshot ${basename(folder)} is in use`, {
      hint:
        kind === 'shared'
          ? 'it is being removed or flattened'
          : 'it is being restored, verified or flattened, or a snapshot is being made that builds on it; try again when that is done',
    });
  }
  try {
    checked(result, 'flock');
    // It may have been removed, or replaced by another, before the lock was ours.
    const [held, named] = [fstatSync(fd), statSync(folder, { throwIfNoEntry: false })];
    if (named?.ino !== held.ino || named.dev !== held.dev) throw gone(folder);
  } catch (error) {
    release();
    throw error;
  }
  return { release };
}

const gone = (folder: string, cause?: unknown) =>
  new TsvmmError('TSVMM_E_NOT_FOUND', `there is no snapshot ${basename(folder)}`, {
    hint: 'tsvmm snap ls shows those there are',
    cause,
  });
