import { statSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import { guestImages } from '../../guest-images/registry.ts';
import { suggest } from '../ui/suggest.ts';
import type { Path, SourceDocument } from './document.ts';
import { limits } from './limits.ts';
import { resolveNets, resolveNetworks } from './nets.ts';
import type { Problem, Report } from './problems.ts';
import type { ImageGuest, KernelGuest, ResolvedCluster, ResolvedDisk, ResolvedVm } from './resolved.ts';
import { type ClusterFile, type DiskEntry, isName, type VmEntry } from './schema.ts';
import { formatSize } from './units.ts';

const takesPackages = (name: string): boolean =>
  guestImages.some(image => image.name === name && image.takesPackages === true);
const imageNames = guestImages.map(image => image.name);
const DEFAULT_IMAGE = 'bench';
const DEFAULT_MEMORY_BYTES = 256 * 2 ** 20;
const DEFAULT_CMDLINE = 'console=ttyS0';
const SECTOR_BYTES = 512;

export interface ResolveOptions {
  /** Takes the place of the file's `name`. */
  readonly name?: string;
  /** The guests go on from a snapshot: what they have booted from need not exist any more. */
  readonly restored?: boolean;
}

/** Files of the host that a cluster file names. */
interface HostFiles {
  /** Against which relative paths count. */
  readonly directory: string;
  readonly mustExist: boolean;
}

/** Fills in defaults and checks everything that takes more than one value of the file. */
export function resolveCluster(
  document: SourceDocument,
  file: ClusterFile,
  { name: givenName, restored = false }: ResolveOptions,
): { cluster: ResolvedCluster; problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const report: Report = (path, message, part) => problems.push(document.problem(path, message, part));
  const name = givenName ?? file.name ?? basename(document.file, extname(document.file));
  if (!isName(name)) report([], `"${name}" cannot be the cluster's name: give it one by the key "name"`);
  const files: HostFiles = { directory: dirname(resolve(document.file)), mustExist: !restored };

  const nets = resolveNets(name, file, report);
  const vms = Object.entries(file.vms).map(([vmName, entry]): ResolvedVm => {
    const at = ['vms', vmName];
    return {
      name: vmName,
      guest: resolveGuest(entry, file.defaults, files, at, report),
      console: entry.console ?? file.defaults.console ?? 'serial',
      balloon: entry.balloon ?? file.defaults.balloon ?? false,
      memory_bytes: entry.memory ?? file.defaults.memory ?? DEFAULT_MEMORY_BYTES,
      vcpus: entry.vcpus ?? file.defaults.vcpus ?? 1,
      nets: nets.get(vmName) ?? [],
      disks: entry.disks.map((disk, index) => resolveDisk(disk, files, [...at, 'disks', index], report)),
    };
  });
  const networks = resolveNetworks(file);
  return { cluster: { name, file: resolve(document.file), vms, networks }, problems };
}

type Defaults = ClusterFile['defaults'];

/** A VM's own `image` or `kernel` takes the place of both in the defaults. */
function resolveGuest(
  entry: VmEntry,
  defaults: Defaults,
  files: HostFiles,
  at: Path,
  report: Report,
): ImageGuest | KernelGuest {
  const own = entry.image !== undefined || entry.kernel !== undefined;
  const from = own ? entry : { ...defaults, ...entry };
  if (from.image !== undefined && from.kernel !== undefined) {
    report(own ? [...at, 'kernel'] : ['defaults', 'kernel'], 'either "image" or "kernel", not both', 'key');
  }
  return from.kernel === undefined
    ? resolveImage(entry, { ...from, image: from.image ?? DEFAULT_IMAGE }, own, at, report)
    : resolveKernel(entry, { ...from, kernel: from.kernel }, files, at, report);
}

function resolveImage(
  entry: VmEntry,
  { image, packages = [] }: Pick<VmEntry, 'packages'> & { image: string },
  own: boolean,
  at: Path,
  report: Report,
): ImageGuest {
  if (!imageNames.includes(image)) {
    const similar = suggest(image, imageNames);
    const help = similar === undefined ? `there is ${imageNames.join(', ')}` : `did you mean "${similar}"?`;
    report(own ? [...at, 'image'] : ['defaults', 'image'], `there is no image "${image}"; ${help}`);
  }
  for (const key of ['initrd', 'cmdline'] as const) {
    if (entry[key] !== undefined) {
      report([...at, key], `"${key}" goes with "kernel"; an image takes its words from "args"`, 'key');
    }
  }
  if (packages.length > 0 && !takesPackages(image)) {
    const where = entry.packages === undefined ? ['defaults', 'packages'] : [...at, 'packages'];
    report(where, `the image "${image}" takes no packages`, 'key');
  }
  const { args } = entry;
  if (args.join(' ').length > limits.cmdlineLength / 2) report([...at, 'args'], 'too many words');
  return { kind: 'image', image, packages: [...new Set(packages)].sort(), args };
}

function resolveKernel(
  entry: VmEntry,
  from: Pick<VmEntry, 'initrd' | 'cmdline'> & { kernel: string },
  files: HostFiles,
  at: Path,
  report: Report,
): KernelGuest {
  const where = (key: 'kernel' | 'initrd') => (entry[key] === undefined ? ['defaults', key] : [...at, key]);
  // `args` of a kernel are further words of its command line.
  const cmdline = [from.cmdline ?? DEFAULT_CMDLINE, ...entry.args].join(' ');
  if (cmdline.length > limits.cmdlineLength) report([...at, 'args'], 'the command line is too long');
  const kernel = hostFile(files, from.kernel, where('kernel'), report).path;
  if (from.initrd === undefined) return { kind: 'kernel', kernel, cmdline };
  const initrd = hostFile(files, from.initrd, where('initrd'), report).path;
  return { kind: 'kernel', kernel, initrd, cmdline };
}

function resolveDisk(entry: DiskEntry, files: HostFiles, at: Path, report: Report): ResolvedDisk {
  const readonly = entry.readonly ?? false;
  if (entry.base === undefined) {
    if (entry.size === undefined) report(at, 'a disk needs a "size" or a "base"');
    return { size_bytes: entry.size ?? 0, readonly };
  }
  const base = hostFile(files, entry.base, [...at, 'base'], report);
  const baseSize = Math.ceil(base.length / SECTOR_BYTES) * SECTOR_BYTES;
  if (files.mustExist && entry.size !== undefined && entry.size < baseSize) {
    report([...at, 'size'], `the disk is smaller than its base of ${formatSize(baseSize)}`);
  }
  return { size_bytes: entry.size ?? baseSize, base: base.path, readonly };
}

function hostFile(
  { directory, mustExist }: HostFiles,
  path: string,
  at: Path,
  report: Report,
): { path: string; length: number } {
  const absolute = resolve(directory, path);
  const stat = statSync(absolute, { throwIfNoEntry: false });
  if (!mustExist) return { path: absolute, length: stat?.size ?? 0 };
  if (stat === undefined) report(at, `there is no file ${absolute}`);
  else if (stat.isDirectory()) report(at, `${absolute} is a directory, not a file`);
  return { path: absolute, length: stat?.size ?? 0 };
}
