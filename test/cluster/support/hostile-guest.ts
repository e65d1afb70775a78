import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const FLAGS = ['-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none', '-Wl,-z,noexecstack'];
/** Above what the boot protocol has below 1 MiB. */
const PLACE = ['-Wl,-Ttext-segment=0x200000', '-Wl,-e,start'];

/** Assembles hostile-guest.S to `path`. */
export function assembleHostileGuest(path: string): void {
  const source = join(import.meta.dirname, 'hostile-guest.S');
  execFileSync('gcc', [...FLAGS, ...PLACE, '-o', path, source], { stdio: ['ignore', 'ignore', 'inherit'] });
}
