/** What the decoder knows about one opcode, in the bits of one word. */

/** Where the operand that may lie in memory comes from. */
export const RmForm = {
  /** There is no ModRM byte. */
  NONE: 0,
  /** Register or memory (SDM: E, Q, W). */
  ANY: 1,
  /** Memory only (SDM: M). */
  MEMORY: 2,
  /** Register only (SDM: N, R, U). */
  REGISTER: 3,
  /** Register, whatever mod says (SDM: C, D). */
  CONTROL: 4,
} as const;

/** What follows the operand bytes. Names are the SDM's, appendix A.2.1. */
export const Immediate = {
  NONE: 0,
  Ib: 1,
  Iw: 2,
  /** 2 or 4 bytes. */
  Iz: 3,
  /** 2, 4 or 8 bytes. */
  Iv: 4,
  /** 4 bytes, whatever the prefixes (AMD's XOP). */
  Id: 5,
  /** As Iz, but in 64-bit mode always 4 bytes. */
  Jz: 6,
  /** Far pointer. */
  Ap: 7,
  /** ENTER: Iw and Ib. */
  IwIb: 8,
  /** As large as an address, and itself the address of the operand. */
  O: 9,
} as const;

/** Elements of an EVEX embedded broadcast. */
export const Broadcast = { BY_W: 0, B2: 1, B4: 2, B8: 3 } as const;

/** Memory operands that ModRM does not name, and other ways to form an address. */
export const specialNames = [
  'none',
  'push', // one operand of the stack's size
  'call', // return address
  'callf', // CS and return address
  'pusha',
  'enter',
  'int', // an interrupt frame on this stack
  'pop',
  'ret',
  'retf',
  'popm', // POP Ev: rSP is incremented before the address is formed
  'popa',
  'leave',
  'iret',
  'bt', // the register operand is a bit offset from the address
  'xlat',
  'maskmov', // [rDI] is written
  'dst64', // 64 bytes at ES:reg are written: MOVDIR64B
  'clzero', // the cache line at [rAX] is written
  'monitor', // [rAX] is read
  'umonitor', // [r/m] is read
  'vsibd', // vector of 32-bit indices
  'vsibq', // vector of 64-bit indices
  'tile', // up to 16 rows, the index register is the stride
] as const;

export type SpecialName = (typeof specialNames)[number];
export const Special = Object.fromEntries(specialNames.map((name, index) => [name, index])) as Record<
  SpecialName,
  number
>;

const SIZE_SHIFT = 0; // 6 bits
const RM_SHIFT = 6; // 3 bits
const IMMEDIATE_SHIFT = 9; // 4 bits
const BROADCAST_SHIFT = 13; // 2 bits
const SPECIAL_SHIFT = 15; // 5 bits

/** The operand named by size (E, M, O or Y) is written. */
export const WRITES = 1 << 20;
/** A string operand at rSI, or at rDI. */
export const STRING_SOURCE = 1 << 21;
export const STRING_DESTINATION = 1 << 22;
/** May write memory that the operands do not name. */
export const INCOMPLETE = 1 << 23;
/** Loads a segment descriptor, whose accessed or busy bit is set in memory. */
export const LOADS_DESCRIPTOR = 1 << 24;
/** The opcode is in the map. */
export const KNOWN = 1 << 25;
/** Not an instruction: the low bits are the index of the first of eight entries, one for each ModRM.reg. */
export const GROUP = 1 << 26;
const GROUP_INDEX_MASK = 0xffff;

interface EntryFields {
  size: number;
  rm: number;
  immediate: number;
  broadcast: number;
  special: number;
  flags: number;
}

export const entryOf = ({ size, rm, immediate, broadcast, special, flags }: EntryFields): number =>
  (size << SIZE_SHIFT) |
  (rm << RM_SHIFT) |
  (immediate << IMMEDIATE_SHIFT) |
  (broadcast << BROADCAST_SHIFT) |
  (special << SPECIAL_SHIFT) |
  KNOWN |
  flags;

export const groupEntry = (firstIndex: number): number => GROUP | KNOWN | firstIndex;
export const groupIndex = (entry: number): number => entry & GROUP_INDEX_MASK;

export const sizeOf = (entry: number): number => (entry >> SIZE_SHIFT) & 0x3f;
export const rmFormOf = (entry: number): number => (entry >> RM_SHIFT) & 7;
export const immediateOf = (entry: number): number => (entry >> IMMEDIATE_SHIFT) & 0xf;
export const broadcastOf = (entry: number): number => (entry >> BROADCAST_SHIFT) & 3;
export const specialOf = (entry: number): number => (entry >> SPECIAL_SHIFT) & 0x1f;
