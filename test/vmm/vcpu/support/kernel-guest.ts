import { join } from 'node:path';
import { assembleGuest } from '../../../support/assemble.ts';

/** Assembles kernel-guest.S to `path`. */
export const assembleKernelGuest = (path: string, { strange = false } = {}): void =>
  assembleGuest(join(import.meta.dirname, 'kernel-guest.S'), path, strange ? ['STRANGE'] : []);
