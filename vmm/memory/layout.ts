import { GIB, type Gpa, gpa } from './address.ts';

/** Device registers, APICs and the reset vector live between these: no RAM there, as on a PC. */
export const HOLE_START = 3 * GIB;
export const HOLE_END = 4 * GIB;

export interface RamRegion {
  readonly start: Gpa;
  readonly length: number;
  /** Where the region begins in the one host mapping that backs all RAM. */
  readonly ramOffset: number;
}

/** Where an address that is RAM lies in the one host mapping. */
export const ramOffsetOf = (address: Gpa): number =>
  address < HOLE_START ? address : address - (HOLE_END - HOLE_START);

/** The inverse. */
export const gpaOfRam = (ramOffset: number): Gpa =>
  gpa(ramOffset < HOLE_START ? ramOffset : ramOffset + (HOLE_END - HOLE_START));

/** Where `length` bytes of RAM appear in the guest: below the hole, and the rest above it. */
export function ramRegions(length: number): RamRegion[] {
  const low: RamRegion = { start: gpa(0), length: Math.min(length, HOLE_START), ramOffset: 0 };
  if (length <= HOLE_START) return [low];
  return [low, { start: gpa(HOLE_END), length: length - HOLE_START, ramOffset: HOLE_START }];
}
