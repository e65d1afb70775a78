import { closeSync, createReadStream, fstatSync, openSync } from 'node:fs';

export interface LogLine {
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly vm: string;
  readonly line: string;
}

const TIME_LENGTH = '2024-01-01T00:00:00.000Z'.length;

/**
 * The lines that VMs have logged (see console-log.ts), oldest first, at most the last `tail`. These are the lines that
 * the files hold when it is called: those written later are not among them.
 */
export async function readLogs(
  files: ReadonlyMap<string, string>,
  tail = Number.POSITIVE_INFINITY,
): Promise<LogLine[]> {
  const perVm = await Promise.all([...files].map(([vm, path]) => readVm(vm, path)));
  // Stable, so that lines of one VM stay in order when their times are the same.
  const all = perVm.flat().sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  return tail >= all.length ? all : all.slice(all.length - tail);
}

async function readVm(vm: string, path: string): Promise<LogLine[]> {
  const texts = await Promise.all([readText(`${path}.1`), readText(path)]);
  return texts
    .join('')
    .split('\n')
    .slice(0, -1)
    .map(text => ({ time: text.slice(0, TIME_LENGTH), vm, line: text.slice(TIME_LENGTH + 1) }));
}

/** Opens the file and takes its length at once, whatever happens to it while it is read. */
async function readText(path: string): Promise<string> {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return '';
  }
  const { size } = fstatSync(fd);
  if (size === 0) {
    closeSync(fd);
    return '';
  }
  const chunks: Buffer[] = [];
  for await (const chunk of createReadStream(path, { fd, start: 0, end: size - 1 })) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
