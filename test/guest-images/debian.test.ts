import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { build } from '../../guest-images/build-debian.ts';
import { requireKeyring } from '../../guest-images/debian-keyring.ts';
import { KernelModules } from '../../guest-images/kernel-modules.ts';
import type { TsvmmError } from '../../vmm/errors.ts';

const test = suite<{ folder: string; path: string | undefined }>('image debian');
test.before.each(context => {
  context.folder = mkdtempSync(join(tmpdir(), 'tsvmm-debian-'));
  context.path = process.env.PATH;
});
test.after.each(({ folder, path }) => {
  process.env.PATH = path;
  rmSync(folder, { recursive: true });
});

/** What the build says when it cannot begin. */
const refusal = (folder: string, packages: readonly string[] = []): Promise<TsvmmError> =>
  build(join(import.meta.dirname, '../../guest-images/debian'), folder, {
    cacheDirectory: join(folder, 'cache'),
    packages,
    progress: () => assert.unreachable('it began'),
  }).then(
    () => assert.unreachable() as never,
    (error: TsvmmError) => error,
  );

test('build: names all missing tools and how to get them, before it does anything', async ({ folder }) => {
  process.env.PATH = folder;
  const { code, message, hint } = await refusal(folder);
  assert.is(code, 'TSVMM_E_TOOL_MISSING');
  assert.match(message, 'debootstrap and mke2fs');
  assert.match(hint ?? '', 'apt install debootstrap e2fsprogs');
  assert.equal(readdirSync(folder), []);
});

test('build: needs root, and says so', async ({ folder }) => {
  for (const tool of ['debootstrap', 'mke2fs', 'dpkg-deb', 'unshare', 'flock', 'chroot', 'mount'])
    writeFileSync(join(folder, tool), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  process.env.PATH = folder;
  const { getuid } = process;
  Object.defineProperty(process, 'getuid', { value: () => 1000, configurable: true });
  try {
    const { code, message, hint } = await refusal(folder, ['iperf3', 'nginx']);
    assert.is(code, 'TSVMM_E_IMAGE_BUILD');
    assert.match(message, 'needs root');
    assert.match(hint ?? '', 'tsvmm image build debian --packages iperf3,nginx');
  } finally {
    Object.defineProperty(process, 'getuid', { value: getuid, configurable: true });
  }
});

test('requireKeyring: without one it names the package, before anything unchecked runs as root', ({
  folder,
}) => {
  const [gpg, pgp] = ['gpg', 'pgp'].map(type => join(folder, `keyring.${type}`)) as [string, string];
  try {
    requireKeyring([gpg, pgp]);
    assert.unreachable();
  } catch (error) {
    const { code, hint } = error as TsvmmError;
    assert.is(code, 'TSVMM_E_TOOL_MISSING');
    assert.match(hint ?? '', 'apt install debian-archive-keyring');
  }
  writeFileSync(pgp, '');
  requireKeyring([gpg, pgp]);
});

test('KernelModules: each module after all that it needs, once; what is built in has no file', ({
  folder,
}) => {
  // Of a package, without a file of ours.
  mkdirSync(join(folder, 'lib/modules/5.10.0'), { recursive: true });
  const modules = join(folder, 'lib/modules/6.1.0');
  mkdirSync(join(modules, 'kernel'), { recursive: true });
  for (const name of ['ext4', 'jbd2', 'crc16', 'virtio-rng'])
    writeFileSync(join(modules, `kernel/${name}.ko`), name);
  // The last to be loaded comes first (modules.dep(5)).
  const lines = [
    'ext4.ko: kernel/jbd2.ko kernel/crc16.ko',
    'jbd2.ko: kernel/crc16.ko',
    'crc16.ko:',
    'virtio-rng.ko:',
  ];
  writeFileSync(join(modules, 'modules.dep'), lines.map(line => `kernel/${line}\n`).join(''));
  const loaded = new KernelModules(folder, '6.1.0').inOrder(['jbd2', 'ext4', 'virtio_rng', 'virtio_mmio']);
  assert.equal(
    loaded.map(({ name }) => name),
    ['crc16.ko', 'jbd2.ko', 'ext4.ko', 'virtio-rng.ko'],
  );
  assert.is(Buffer.from(loaded[2]?.content ?? []).toString(), 'ext4');
});

test.run();
