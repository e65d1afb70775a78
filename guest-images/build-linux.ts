import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { removeAbandoned } from './abandoned.ts';
import { buildFailed } from './build-failed.ts';
import { type CpioFile, CpioMode, cpioArchive } from './cpio.ts';
import { sourceFiles } from './fingerprint.ts';
import { unpackBuildTools } from './linux-build-tools.ts';
import type { ImageBuildOptions } from './registry.ts';
import { requireTools, runTool, type ToolOptions } from './run-tool.ts';
import { syncFiles } from './sync-files.ts';

/** Kernel sources in order of preference; a name with * stands for the newest of that kind. */
const SOURCE_PACKAGES = ['linux-source-6.12', 'linux-source-*'];
const ENOUGH_OUTPUT = 8192;

/** A Linux kernel that is as small as it gets, from the distribution's sources, and an initial RAM disk with its busybox. */
export async function build(sources: string, directory: string, options: ImageBuildOptions): Promise<void> {
  requireTools(
    ['gcc', 'make', 'ld', 'tar', 'xz', 'apt-get', 'dpkg-deb'],
    'building the guest image linux',
    'on Debian or Ubuntu: apt install gcc make xz-utils (flex, bison and more are fetched, and not installed)',
  );
  const cache = join(options.cacheDirectory, 'linux');
  mkdirSync(cache, { recursive: true });
  removeAbandoned(cache);
  const work = mkdtempSync(join(cache, `.work-${process.pid}-`));
  try {
    const context = { sources, cache, work, options };
    await kernel(context, join(directory, 'vmlinux'));
    writeFileSync(join(directory, 'initrd.cpio'), await initialRamDisk(context));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

interface Context {
  /** guest-images/linux */
  readonly sources: string;
  readonly cache: string;
  /** Is removed at the end. */
  readonly work: string;
  readonly options: ImageBuildOptions;
}

/** The stripped kernel, as `target`. It depends on its sources and configuration alone, so another init builds none anew. */
async function kernel(context: Context, target: string): Promise<void> {
  const { sources, cache, work, options } = context;
  const { progress } = options;
  progress('getting the sources of the kernel');
  const archive = await firstPackage(context, SOURCE_PACKAGES);
  const config = join(sources, 'config');
  const identity = createHash('sha256').update(basename(archive)).update(optionsOf(config).join());
  const kernels = join(cache, 'kernels');
  const built = join(kernels, `vmlinux-${identity.digest('hex').slice(0, 16)}`);
  if (!options.anew && copyIfThere(built, target)) return;

  const env = await unpackBuildTools(work, names => download(context, names), options);
  progress('unpacking the sources of the kernel');
  const tree = join(work, 'source');
  await run('sh', [join(sources, 'unpack.sh'), archive, tree], 'unpacking the sources', options);
  const output = join(work, 'kernel');
  mkdirSync(output);
  const make = [
    `-j${availableParallelism()}`,
    '-C',
    tree,
    `O=${output}`,
    'LIBELF_FLAGS=',
    'LIBELF_LIBS=-l:libelf.so.1',
  ];
  progress('configuring the kernel');
  const all = { env: { ...env, KCONFIG_ALLCONFIG: config } };
  await run('make', [...make, 'allnoconfig'], 'configuring the kernel', options, all);
  checkConfiguration(optionsOf(config), optionsOf(join(output, '.config')));
  await run('make', [...make, 'vmlinux'], 'compiling the kernel', options, {
    env,
    onOutput: countFiles(progress),
  });
  await run('strip', ['-o', target, join(output, 'vmlinux')], 'stripping the kernel', options);
  copyFileSync(target, join(work, 'vmlinux'));
  syncFiles(work, ['vmlinux']);
  mkdirSync(kernels, { recursive: true });
  // Other builds may do the same at this moment.
  for (const old of readdirSync(kernels)) rmSync(join(kernels, old), { force: true });
  renameSync(join(work, 'vmlinux'), built);
  progress(`the kernel has ${mebibytes(statSync(target).size)}`);
}

/** Copies a file that another process may remove at any time; false when there is none. */
function copyIfThere(path: string, target: string): boolean {
  try {
    copyFileSync(path, target);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** The options that are set, without comments. */
const optionsOf = (path: string): string[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter(line => /^CONFIG_\w+=/.test(line));

/** Options that the kernel does not know, or cannot have, are dropped silently by Kconfig: a guest would lack a driver. */
function checkConfiguration(wanted: readonly string[], actual: readonly string[]): void {
  const has = new Set(actual);
  const missing = wanted.filter(option => !has.has(option));
  if (missing.length === 0) return;
  throw buildFailed(
    'linux',
    'these options are not in this version of the kernel',
    missing.join('\n'),
    'report this with the version of the package linux-source',
  );
}

/** Says from time to time how many files are compiled. */
function countFiles(progress: (step: string) => void): (text: string) => void {
  const STEP = 100;
  let files = 0;
  let told = 0;
  progress('compiling the kernel (some minutes)');
  return text => {
    files += text.match(/^ {2}(?:CC|AS) /gm)?.length ?? 0;
    if (files < told + STEP) return;
    told = files;
    progress(`compiling the kernel: ${files} files of about 900`);
  };
}

async function initialRamDisk(context: Context): Promise<Buffer> {
  const { sources, work, options } = context;
  options.progress('making the initial RAM disk');
  const root = join(work, 'busybox');
  const archive = await firstPackage(context, ['busybox-static']);
  await run('dpkg-deb', ['-x', archive, root], 'unpacking busybox', options);
  const program = ['bin/busybox', 'usr/bin/busybox']
    .map(path => join(root, path))
    .find(path => existsSync(path));
  if (program === undefined)
    throw buildFailed('linux', 'the package busybox-static holds no busybox', '', 'report this');
  const empty = new Uint8Array(0);
  const scripts = sourceFiles(join(sources, 'tsvmm')).map(
    (path): CpioFile => ({
      path: `lib/tsvmm/${path}`,
      content: readFileSync(join(sources, 'tsvmm', path)),
      mode: CpioMode.PROGRAM,
    }),
  );
  const disk = cpioArchive([
    { path: 'bin', content: empty, mode: CpioMode.DIRECTORY },
    { path: 'sbin', content: empty, mode: CpioMode.DIRECTORY },
    { path: 'bin/busybox', content: readFileSync(program), mode: CpioMode.PROGRAM },
    { path: 'bin/sh', content: Buffer.from('busybox'), mode: CpioMode.LINK },
    // The kernel opens it for init before anything is mounted.
    { path: 'dev', content: empty, mode: CpioMode.DIRECTORY },
    { path: 'dev/console', content: empty, mode: CpioMode.CHARACTER, device: [5, 1] },
    { path: 'init', content: readFileSync(join(sources, 'init')), mode: CpioMode.PROGRAM },
    ...scripts,
  ]);
  options.progress(`the initial RAM disk has ${mebibytes(disk.length)}`);
  return disk;
}

/** The file of the first of these packages that there is. */
async function firstPackage(context: Context, names: readonly string[]): Promise<string> {
  let refusal: unknown;
  for (const name of names) {
    try {
      const [own = ''] = await download(context, [name]);
      return own;
    } catch (error) {
      context.options.signal?.throwIfAborted();
      refusal = error;
    }
  }
  throw refusal;
}

/** Paths of the files of these packages and of what they need: each package's own comes before those that it needs. */
async function download({ sources, cache, options }: Context, names: readonly string[]): Promise<string[]> {
  const { code, output } = await runTool('sh', [join(sources, 'fetch.sh'), cache, ...names], options);
  if (code === 0) return output.split('\n').filter(line => line.startsWith('/'));
  const said = (label: string) => new RegExp(`^${label}: (.*)$`, 'm').exec(output)?.[1];
  const rest = output.replace(/^(error|hint): .*\n?/gm, '');
  throw buildFailed(
    'linux',
    said('error') ?? 'cannot download packages',
    rest,
    said('hint') ?? 'check the network',
  );
}

async function run(
  program: string,
  words: readonly string[],
  what: string,
  { signal }: ImageBuildOptions,
  more: Omit<ToolOptions, 'signal'> = {},
): Promise<void> {
  const { code, output } = await runTool(program, words, { signal, ...more });
  if (code !== 0)
    throw buildFailed(
      'linux',
      `${what} failed`,
      output.slice(-ENOUGH_OUTPUT),
      'the lines above say why; is the disk full?',
    );
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
