import { existsSync, mkdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { findTool } from '../../guest-images/find-tool.ts';
import { guestImages } from '../../guest-images/registry.ts';
import { cacheDirectory, homeDirectory } from '../home/layout.ts';
import { imageStore } from '../image/images.ts';
import { humanSize } from '../ui/units.ts';
import { type Check, type Finding, fail, pass, warn } from './check.ts';
import { accessError } from './privileges.ts';

const ENOUGH_SPACE_BYTES = 2 ** 30;

export const toolChecks: readonly Check[] = [
  { name: 'home', run: () => homeCheck(homeDirectory()) },
  { name: 'bench image', run: benchImageCheck },
  { name: 'lwip', run: lwipCheck },
  {
    name: 'qemu',
    run: () => optionalTool('qemu-system-x86_64', '"tsvmm bench" compares with it'),
  },
  { name: 'tshark', run: () => optionalTool('tshark', 'it shows what "tsvmm capture" writes') },
];

export function homeCheck(home: string): Finding {
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
  } catch (error) {
    return fail(
      `${home} cannot be created: ${(error as NodeJS.ErrnoException).code}`,
      'set TSVMM_HOME to another place',
    );
  }
  const error = accessError(home);
  if (error !== undefined) return fail(`${home}: ${error}`, 'set TSVMM_HOME to a directory of your own');
  const { bavail, bsize } = statfsSync(home);
  const detail = `${home}, ${humanSize(bavail * bsize)} free`;
  if (bavail * bsize >= ENOUGH_SPACE_BYTES) return pass(detail);
  return warn(
    detail,
    'snapshots take up to as much space as the guests have memory: make room, or set TSVMM_HOME',
  );
}

/** Built, or at least to be built. */
async function benchImageCheck(): Promise<Finding> {
  const [bench] = guestImages;
  if (bench === undefined) return fail('there are no images', 'install tsvmm again');
  if ((await imageStore().fresh(bench)) !== undefined) return pass('built');
  const missing = ['gcc', 'make', 'ld', 'strip'].filter(name => findTool(name) === undefined);
  if (missing.length === 0) return pass('not built yet; gcc and make are there');
  return warn(
    `cannot be built: ${missing.join(' and ')} missing; only your own kernels will run`,
    'on Debian or Ubuntu: sudo apt install gcc make',
  );
}

function lwipCheck(): Finding {
  if (existsSync(join(cacheDirectory(), 'lwip'))) return pass('its sources are in the cache');
  const missing = ['apt-get', 'tar', 'xz'].filter(name => findTool(name) === undefined);
  if (missing.length === 0)
    return pass("fetched from the distribution's archive when the bench image is built");
  return warn(
    `cannot be fetched: ${missing.join(' and ')} missing`,
    'download lwIP yourself and build with: tsvmm image build bench --lwip DIR',
  );
}

function optionalTool(name: string, use: string): Finding {
  return pass(findTool(name) === undefined ? `not installed, and not needed (${use})` : 'installed');
}
