import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TsvmmError } from '../vmm/errors.ts';
import { buildFailed } from './build-failed.ts';
import { CpioMode, cpioArchive } from './cpio.ts';
import { requireKeyring } from './debian-keyring.ts';
import { KernelModules } from './kernel-modules.ts';
import type { ImageBuildOptions } from './registry.ts';
import { requireTools, runTool } from './run-tool.ts';

/** What the initial RAM disk loads: the way to the disk, and devices that are there at once then, without udev. */
const EARLY_MODULES = [
  ...['virtio_mmio', 'virtio_blk', 'crc32c_generic', 'ext4'],
  ...['virtio_net', 'virtio_console', 'virtio_rng', 'virtio_balloon'],
];
/** As guests see it; on the host it takes what is in it. */
const DISK_SIZE = '4G';
/** Always the same, so that nothing in a guest depends on the build. */
const FILE_SYSTEM_UUID = '7473766d-6d00-4000-8000-64656269616e';

/** A minimal Debian as a disk, its stock cloud kernel, and an initial RAM disk of ours that leads from one to the other. */
export async function build(sources: string, directory: string, options: ImageBuildOptions): Promise<void> {
  const { progress, packages, cacheDirectory, signal } = options;
  requireTools(
    ['debootstrap', 'mke2fs', 'dpkg-deb', 'unshare', 'flock', 'chroot', 'mount'],
    'building the guest image debian',
    'on Debian or Ubuntu: apt install debootstrap e2fsprogs debian-archive-keyring',
  );
  if (process.getuid?.() !== 0) {
    const list = packages.length === 0 ? '' : ` --packages ${packages.join(',')}`;
    throw new TsvmmError('TSVMM_E_IMAGE_BUILD', 'building the guest image debian needs root (debootstrap)', {
      hint: `build it once by: sudo env TSVMM_HOME="\${TSVMM_HOME:-$HOME/.local/share/tsvmm}" tsvmm image build debian${list}`,
    });
  }
  requireKeyring();
  const root = join(directory, 'root');
  const cache = join(cacheDirectory, 'debian');
  mkdirSync(cache, { recursive: true });
  progress('making a minimal Debian (debootstrap)');
  await script(sources, 'root.sh', cache, [root, cache], signal);
  progress(['installing the kernel', ...packages].join(' '));
  await script(sources, 'packages.sh', cache, [root, directory, cache, ...packages], signal);
  progress('making the initial RAM disk');
  const version = readFileSync(join(directory, 'kernel-version'), 'utf8').trim();
  writeFileSync(join(directory, 'initrd.img'), initialRamDisk(sources, root, version));
  progress('making the disk');
  await makeDisk(root, join(directory, 'root.img'), signal);
  rmSync(root, { recursive: true });
}

/** In namespaces of its own: mounts and processes go with it. Waits for scripts of other builds that use the cache. */
async function script(
  sources: string,
  name: string,
  cache: string,
  words: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private'];
  const all = [cache, 'unshare', ...namespaces, 'sh', join(sources, name), ...words];
  const { code, output } = await runTool('flock', all, { signal });
  if (code === 0) return;
  const hint = 'the lines above are from debootstrap and apt; TSVMM_DEBIAN_MIRROR names another mirror';
  throw buildFailed('debian', `${name} failed`, output, hint);
}

function initialRamDisk(sources: string, root: string, version: string): Buffer {
  const modules = new KernelModules(root, version).inOrder(EARLY_MODULES);
  const order = modules.map(({ name }) => `${name}\n`).join('');
  const empty = new Uint8Array(0);
  return cpioArchive([
    { path: 'dev', content: empty, mode: CpioMode.DIRECTORY },
    // The kernel opens it for init before anything is mounted.
    { path: 'dev/console', content: empty, mode: CpioMode.CHARACTER, device: [5, 1] },
    { path: 'root', content: empty, mode: CpioMode.DIRECTORY },
    { path: 'bin/busybox', content: readFileSync(join(root, 'bin/busybox')), mode: CpioMode.PROGRAM },
    { path: 'init', content: readFileSync(join(sources, 'init')), mode: CpioMode.PROGRAM },
    { path: 'modules/order', content: Buffer.from(order), mode: CpioMode.FILE },
    ...modules.map(({ name, content }) => ({ path: `modules/${name}`, content, mode: CpioMode.FILE })),
  ]);
}

async function makeDisk(root: string, path: string, signal: AbortSignal | undefined): Promise<void> {
  // The new file reads as zeros, so neither mke2fs nor the guest has to write them.
  const extended = `assume_storage_prezeroed=1,root_owner=0:0,hash_seed=${FILE_SYSTEM_UUID}`;
  const words = ['-q', '-t', 'ext4', '-m', '0', '-L', 'root', '-U', FILE_SYSTEM_UUID, '-E', extended];
  const half = `${path}.half`;
  const { code, output } = await runTool('mke2fs', [...words, '-d', root, half, DISK_SIZE], { signal });
  if (code !== 0) throw buildFailed('debian', 'mke2fs failed', output, 'is there room on the disk?');
  renameSync(half, path);
}
