/** A file of an initial RAM disk. Directories that lead to it are made by themselves. */
export interface CpioFile {
  /** Without a leading slash. */
  readonly path: string;
  /** The content of a regular file; of a symbolic link, where it leads. */
  readonly content: Uint8Array;
  /** Type and permissions as in stat(2). */
  readonly mode: number;
  /** Of a device, its major and minor number. */
  readonly device?: readonly [number, number];
}

export const CpioMode = {
  FILE: 0o100644,
  PROGRAM: 0o100755,
  DIRECTORY: 0o40755,
  LINK: 0o120777,
  CHARACTER: 0o20600,
} as const;

const MAGIC = '070701';
const ALIGNMENT = 4;
const TRAILER = 'TRAILER!!!';

/**
 * An archive in the format "newc", which the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst). All
 * owned by root, all times 0: the same files make the same archive.
 */
export function cpioArchive(files: readonly CpioFile[]): Buffer {
  const given = new Set(files.map(({ path }) => path));
  const parents = new Set(files.flatMap(({ path }) => parentsOf(path)));
  const directories = [...parents]
    .filter(path => !given.has(path))
    .sort()
    .map(path => ({ path, content: new Uint8Array(0), mode: CpioMode.DIRECTORY }));
  const all = [...directories, ...files, { path: TRAILER, content: new Uint8Array(0), mode: 0 }];
  return Buffer.concat(all.flatMap((file, index) => entry(file, index + 1)));
}

function entry({ path, content, mode, device = [0, 0] }: CpioFile, inode: number): Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  const links = (mode & 0o170000) === 0o40000 ? 2 : 1;
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, ...device, name.length, 0];
  const header = Buffer.from(MAGIC + fields.map(field => field.toString(16).padStart(8, '0')).join(''));
  return [header, name, padding(header.length + name.length), content, padding(content.length)];
}

const padding = (length: number): Uint8Array => new Uint8Array(-length & (ALIGNMENT - 1));

function parentsOf(path: string): string[] {
  const steps = path.split('/').slice(0, -1);
  return steps.map((_, index) => steps.slice(0, index + 1).join('/'));
}
