import { randomBytes } from 'node:crypto';
import { gpa } from '../../memory/address.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { LowMemory } from '../low-memory.ts';

const GENERATION_ID_BYTES = 16;

/**
 * Gives the machine a generation id of its own ("Virtual Machine Generation ID", Microsoft, 2018): at boot, and for
 * each restore, by which a guest knows that there may be another one like it. Linux then reseeds its random numbers.
 */
export function renewGenerationId(memory: GuestMemory): void {
  memory.copyIn(gpa(LowMemory.GENERATION_ID), randomBytes(GENERATION_ID_BYTES));
}
