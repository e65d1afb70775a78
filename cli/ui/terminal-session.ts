import type { Duplex } from 'node:stream';

const DETACH_KEY = 0x1d;
export const DETACH_KEY_NAME = 'Ctrl-]';

/**
 * Joins this command's terminal to the other end of `socket` until one of them leaves: in raw mode, so that every
 * key but the detach key goes through. Where stdin is no terminal, output is shown and nothing sent. `onSize` is told the
 * window's size, now and whenever it changes.
 */
export async function joinTerminal(
  socket: Duplex,
  onSize: (columns: number, rows: number) => unknown = () => {},
): Promise<'detached' | 'closed'> {
  const { stdin, stdout } = process;
  const isTerminal = stdin.isTTY === true;
  // Also when the command ends in a way that skips what follows.
  const restore = () => {
    if (isTerminal) stdin.setRawMode(false);
  };
  process.once('exit', restore);
  const tellSize = () => void (stdout.isTTY && onSize(stdout.columns, stdout.rows));
  if (isTerminal) {
    stdout.on('resize', tellSize);
    tellSize();
  }
  try {
    return await new Promise(resolve => {
      const detach = () => {
        socket.destroy();
        resolve('detached');
      };
      socket.on('data', (bytes: Buffer) => stdout.write(bytes));
      socket.on('error', () => {});
      socket.on('close', () => resolve('closed'));
      socket.on('end', () => socket.end());
      stdout.once('error', detach);
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, detach);
      if (!isTerminal) return;
      stdin.setRawMode(true);
      stdin.on('data', (keys: Buffer) => {
        const at = keys.indexOf(DETACH_KEY);
        if (at !== 0) socket.write(at < 0 ? keys : keys.subarray(0, at));
        if (at >= 0) detach();
      });
    });
  } finally {
    restore();
    process.off('exit', restore);
    stdout.off('resize', tellSize);
    stdin.pause();
    // The guest may have left colours on, the cursor off, or its line open.
    if (isTerminal && stdout.isTTY) stdout.write('\x1b[0m\x1b[?25h\r\n');
  }
}
