import { execFileSync } from 'node:child_process';

const FLAGS = ['-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none', '-Wl,-z,noexecstack'];
/** Above what the boot protocol has below 1 MiB. */
const PLACE = ['-Wl,-Ttext-segment=0x200000', '-Wl,-e,start'];

/** Makes a guest's kernel of an assembly file. Prints what the compiler says, and throws, when it refuses it. */
export function assembleGuest(source: string, path: string, definitions: readonly string[] = []): void {
  const defined = definitions.map(name => `-D${name}`);
  execFileSync('gcc', [...FLAGS, ...PLACE, ...defined, '-o', path, source], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
