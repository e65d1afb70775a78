import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildFailed } from './build-failed.ts';
import { findTool } from './find-tool.ts';
import type { ImageBuildOptions } from './registry.ts';
import { runTool } from './run-tool.ts';

const TRIPLET = 'x86_64-linux-gnu';

/**
 * What compiling a kernel takes besides gcc and make: flex, bison, bc and libelf. What the system has not is taken from
 * its distribution's packages, unpacked in `work`; nothing is installed, and nobody need be root. Answers the environment
 * to compile in. `download` answers paths of packages' files.
 */
export async function unpackBuildTools(
  work: string,
  download: (names: readonly string[]) => Promise<string[]>,
  { progress, signal }: ImageBuildOptions,
): Promise<Record<string, string>> {
  const missing = ['flex', 'bison', 'bc'].filter(name => findTool(name) === undefined);
  const hasLibelf =
    (await runTool('sh', ['-c', 'echo "#include <gelf.h>" | gcc -E -'], { signal })).code === 0;
  if (!hasLibelf) missing.push('libelf-dev');
  if (missing.length === 0) return {};
  progress(`getting ${missing.join(', ')}`);
  const root = join(work, 'tools');
  mkdirSync(root);
  const wanted = /^(?:flex|libfl|bison|m4|bc|libreadline|readline|libtinfo|libelf|zlib1g|libzstd|libsigsegv)/;
  for (const archive of await download(missing)) {
    if (!wanted.test(archive.slice(archive.lastIndexOf('/') + 1))) continue;
    const { code, output } = await runTool('dpkg-deb', ['-x', archive, root], { signal });
    if (code !== 0) throw buildFailed('linux', `cannot unpack ${archive}`, output, 'is the disk full?');
  }
  const libraries = [join(root, 'usr/lib', TRIPLET), join(root, 'lib', TRIPLET)].join(':');
  const prepend = (first: string, name: string): string =>
    [first, process.env[name]].filter(Boolean).join(':');
  return {
    PATH: prepend(join(root, 'usr/bin'), 'PATH'),
    C_INCLUDE_PATH: prepend(
      `${join(root, 'usr/include')}:${join(root, 'usr/include', TRIPLET)}`,
      'C_INCLUDE_PATH',
    ),
    LIBRARY_PATH: prepend(libraries, 'LIBRARY_PATH'),
    LD_LIBRARY_PATH: prepend(libraries, 'LD_LIBRARY_PATH'),
    // Where bison and flex look for what came with them.
    ...(missing.includes('bison') ? { BISON_PKGDATADIR: join(root, 'usr/share/bison') } : {}),
    ...(findTool('m4') === undefined ? { M4: join(root, 'usr/bin/m4') } : {}),
  };
}
