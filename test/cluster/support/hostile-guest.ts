import { join } from 'node:path';
import { assembleGuest } from '../../support/assemble.ts';

/** Assembles hostile-guest.S to `path`. */
export const assembleHostileGuest = (path: string): void =>
  assembleGuest(join(import.meta.dirname, 'hostile-guest.S'), path);
