import { arch, platform, release } from 'node:os';
import { type Check, type Finding, fail, pass, warn } from './check.ts';

const OLDEST_NODE = 20;

export const softwareChecks: readonly Check[] = [
  { name: 'platform', run: platformCheck },
  { name: 'node', run: () => nodeCheck(process.version) },
  { name: 'ffi', run: ffiCheck },
  { name: 'compression', run: compressionCheck },
];

function platformCheck(): Finding {
  const detail = `${platform()} ${release()} on ${arch()}`;
  if (platform() === 'linux' && arch() === 'x64') return pass(detail);
  return fail(detail, 'tsvmm runs on Linux on x86-64');
}

export function nodeCheck(version: string): Finding {
  const major = Number.parseInt(version.slice(1), 10);
  if (major >= OLDEST_NODE) return pass(version);
  return fail(`${version} is too old`, `install Node.js ${OLDEST_NODE} or newer`);
}

/** What `snap --compress` needs, and restoring what it made. */
async function compressionCheck(): Promise<Finding> {
  const { codecOf } = await import('../../snapshot/image/compression.ts');
  const missing = (['zstd', 'lz4'] as const).filter(name => {
    try {
      codecOf(name);
      return false;
    } catch {
      return true;
    }
  });
  if (missing.length === 0) return pass('zstd and lz4');
  return warn(
    `${missing.join(' and ')} cannot be loaded: no snapshots compressed by ${missing.join(' or ')}`,
    'install libzstd1 and liblz4-1',
  );
}

/** Either of the two FFI packages is enough. */
async function ffiCheck(): Promise<Finding> {
  const { selectBackend } = await import('../../vmm/ffi/select.ts');
  const loads = async (name: string) => (await selectBackend(name).catch(() => undefined)) !== undefined;
  const [koffi, ffiRs] = [await loads('koffi'), await loads('ffi-rs')];
  if (koffi) return pass(ffiRs ? 'koffi, and ffi-rs as a reserve' : 'koffi');
  const hint = 'run npm install again, with optional packages and install scripts allowed';
  return ffiRs ? warn('ffi-rs only, which is slower than koffi', hint) : fail('no FFI package loads', hint);
}
