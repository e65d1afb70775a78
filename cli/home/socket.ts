/**
 * The control socket of a run directory. A socket's path may have 107 bytes (unix(7), sun_path), a cluster's home any
 * number: so the directory is opened, and the socket named through /proc/self/fd, which is always short.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';

const NAME = 'control.sock';
const LONGEST_PATH = 107;

export interface SocketPath {
  readonly path: string;
  /** To be called once the path is not needed any more: after connecting, or after the server is closed. */
  release(): void;
}

/** Throws what open(2) fails with when the directory is not there. */
export function socketPath(runDirectory: string): SocketPath {
  const path = join(runDirectory, NAME);
  if (Buffer.byteLength(path) <= LONGEST_PATH) return { path, release: () => {} };
  const fd = openSync(runDirectory, constants.O_RDONLY | constants.O_DIRECTORY);
  return { path: `/proc/self/fd/${fd}/${NAME}`, release: () => closeSync(fd) };
}

/** Connects to the control socket. Rejects with the error of open(2) or connect(2). */
export async function connectTo(runDirectory: string): Promise<Socket> {
  const { path, release } = socketPath(runDirectory);
  try {
    return await new Promise<Socket>((resolve, reject) => {
      const socket = connect(path, () => resolve(socket));
      socket.once('error', reject);
    });
  } finally {
    release();
  }
}

/** Whether somebody listens at the control socket. */
export async function accepts(runDirectory: string): Promise<boolean> {
  try {
    (await connectTo(runDirectory)).destroy();
    return true;
  } catch {
    return false;
  }
}
