import {
  chownSync,
  closeSync,
  constants,
  existsSync,
  fchownSync,
  fstatSync,
  openSync,
  readdirSync,
} from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';

/** The file itself, for what is done by its descriptor (open(2)); node:fs has no name for it. */
const O_PATH = 0o10000000;

interface User {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Does `work` that makes images and caches below `home`. When root does it for a user by sudo, and the home, or the folder
 * in which it is to be made, is that user's, what root made is the user's afterwards: tsvmm without sudo has to write there.
 * Throws what `work` throws.
 */
export async function asSudoUser<Result>(home: string, work: () => Promise<Result>): Promise<Result> {
  const user = sudoUser();
  if (user === undefined) return work();
  const base = nearestFolder(home);
  const folder = openSync(base, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    if (fstatSync(folder).uid !== user.uid) return await work();
    try {
      return await work();
    } finally {
      giveHome(folder, relative(base, home).split(sep).filter(Boolean), user);
    }
  } finally {
    closeSync(folder);
  }
}

/** Who said sudo. */
function sudoUser(): User | undefined {
  const { SUDO_UID, SUDO_GID } = process.env;
  if (process.getuid?.() !== 0 || SUDO_UID === undefined || SUDO_GID === undefined) return undefined;
  const user = { uid: Number(SUDO_UID), gid: Number(SUDO_GID) };
  const isUser = Number.isInteger(user.uid) && Number.isInteger(user.gid) && user.uid > 0;
  return isUser ? user : undefined;
}

const nearestFolder = (path: string): string => (existsSync(path) ? path : nearestFolder(dirname(path)));

/** The home is `steps` below the open `folder`; each of these folders was missing. */
function giveHome(folder: number, [step, ...steps]: readonly string[], user: User): void {
  if (step === undefined) {
    for (const name of ['images', 'cache'])
      inFolder(pathIn(folder, name), inner => giveWithContents(inner, user));
  } else {
    inFolder(pathIn(folder, step), inner => {
      giveFolder(inner, user);
      giveHome(inner, steps, user);
    });
  }
}

function giveWithContents(folder: number, user: User): void {
  giveFolder(folder, user);
  for (const entry of readdirSync(pathIn(folder, ''), { withFileTypes: true })) {
    // Names of work that goes on begin so: another build's, to which the owners of files matter.
    if (entry.name.startsWith('.')) continue;
    const path = pathIn(folder, entry.name);
    if (entry.isDirectory()) inFolder(path, inner => giveWithContents(inner, user));
    else giveFile(path, user);
  }
}

function giveFolder(folder: number, { uid, gid }: User): void {
  if (fstatSync(folder).uid === 0) fchownSync(folder, uid, gid);
}

/** A file that has other names may be one of the system's; it stays the same file, whatever has its name meanwhile. */
function giveFile(path: string, { uid, gid }: User): void {
  const file = openAs(path, O_PATH | constants.O_NOFOLLOW);
  if (file === undefined) return;
  try {
    const status = fstatSync(file);
    if (status.uid === 0 && status.nlink === 1) chownSync(pathIn(file, ''), uid, gid);
  } finally {
    closeSync(file);
  }
}

/**
 * Root walks where a user may write, so each folder is opened from the one around it, and by no link: what is put in its
 * place meanwhile leads nowhere else. A folder that is gone, or is a link, is left out.
 */
function inFolder(path: string, walk: (folder: number) => void): void {
  const folder = openAs(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  if (folder === undefined) return;
  try {
    walk(folder);
  } finally {
    closeSync(folder);
  }
}

function openAs(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags);
  } catch {
    return undefined;
  }
}

const pathIn = (folder: number, name: string): string => join('/proc/self/fd', String(folder), name);
