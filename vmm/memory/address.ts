/**
 * Addresses are branded so that a guest-physical one can never be dereferenced, nor a host one handed to a
 * guest. Both fit a number: x86-64 user space ends at 2^47, and guests end at 2^46.
 */
declare const gpaBrand: unique symbol;
declare const hvaBrand: unique symbol;

/** Guest-physical address. */
export type Gpa = number & { readonly [gpaBrand]: true };
/** Host-virtual address in this process; the same in all its threads. */
export type Hva = number & { readonly [hvaBrand]: true };

export const gpa = (address: number): Gpa => address as Gpa;
export const hva = (address: number): Hva => address as Hva;
export const gpaOffset = (base: Gpa, bytes: number): Gpa => (base + bytes) as Gpa;
export const hvaOffset = (base: Hva, bytes: number): Hva => (base + bytes) as Hva;

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const PAGE_SIZE = 4 * KIB;
export const HUGE_PAGE_SIZE = 2 * MIB;

export const alignUp = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;
export const alignDown = (value: number, alignment: number): number =>
  Math.floor(value / alignment) * alignment;
