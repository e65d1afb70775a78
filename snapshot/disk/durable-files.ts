import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TsvmmError } from '../../vmm/errors.ts';

/** Brings the names in `folder` to stable storage (fsync(2), "Calling fsync() does not necessarily ensure..."). */
export async function syncFolder(folder: string): Promise<void> {
  await withFile(folder, 'r', file => file.sync());
}

/** Replaces `path` by `text` so that, whatever happens, it holds either the old content or the new one. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  await withFile(temporary, 'w', async file => {
    await file.writeFile(text);
    await file.sync();
  });
  await rename(temporary, path).catch(cause => {
    throw diskError(`cannot replace ${path}`, cause);
  });
  await syncFolder(dirname(path));
}

/** Makes a new file out of `pieces` with holes between them, on stable storage, but for its name. */
export async function createSparseFile(
  path: string,
  pieces: readonly { offset: number; bytes: Uint8Array }[],
): Promise<void> {
  await withFile(path, 'wx', async file => {
    for (const { offset, bytes } of pieces) await writeAll(file, bytes, offset);
    await file.sync();
  });
}

/** Brings what other descriptors have written to `path` to stable storage. */
export async function syncData(path: string): Promise<void> {
  await withFile(path, 'r', file => file.datasync());
}

export async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}

async function withFile<Result>(
  path: string,
  flags: string,
  use: (file: FileHandle) => Promise<Result>,
): Promise<Result> {
  try {
    const file = await open(path, flags, 0o600);
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw diskError(`cannot write ${path}`, cause);
  }
}

/** What the host's file system said, as TSVMM_E_DISK; errors of ours stay as they are. */
export function diskError(what: string, cause: unknown): TsvmmError {
  if (cause instanceof TsvmmError) return cause;
  const { code } = cause as NodeJS.ErrnoException;
  const hint =
    code === 'EFBIG'
      ? "make the disk smaller, or put $TSVMM_HOME on a file system that has files of that size (ext4's end at 16 TiB)"
      : 'look at the space, the permissions and the health of the host disk';
  return new TsvmmError('TSVMM_E_DISK', `${what}: ${code ?? cause}`, { hint, cause });
}
