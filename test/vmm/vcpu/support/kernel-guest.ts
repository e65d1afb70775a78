import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const FLAGS = ['-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none', '-Wl,-z,noexecstack'];
/** Above what the boot protocol has below 1 MiB. */
const PLACE = ['-Wl,-Ttext-segment=0x200000', '-Wl,-e,start'];

/** Assembles kernel-guest.S to `path`. */
export function assembleKernelGuest(path: string, { strange = false } = {}): void {
  const source = join(import.meta.dirname, 'kernel-guest.S');
  const words = [...FLAGS, ...PLACE, ...(strange ? ['-DSTRANGE'] : []), '-o', path, source];
  execFileSync('gcc', words, { stdio: ['ignore', 'ignore', 'inherit'] });
}
