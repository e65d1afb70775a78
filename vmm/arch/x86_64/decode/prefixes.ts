import { Segment } from './cpu-context.ts';
import type { Instruction } from './instruction.ts';
import { evexMaps, legacyMaps, oneByteLegacy, oneByteLong, vexMaps, xopMaps } from './maps/index.ts';
import { Prefix } from './notation.ts';

/**
 * Reads legacy, REX, VEX, EVEX and XOP prefixes and the opcode (SDM vol. 2, sections 2.1 to 2.7; APM vol. 3 for XOP).
 * Returns false for an encoding that has no meaning.
 */
export function parsePrefixes(into: Instruction, vectorPrefixes: boolean): boolean {
  const long = into.codeBits === 64;
  let operandPrefix = false;
  let rex = 0;
  let byte = into.next();
  for (; ; byte = into.next()) {
    if (long && (byte & 0xf0) === 0x40) {
      rex = byte;
      continue;
    }
    const segment = segmentOverride(byte);
    if (segment >= 0) {
      // In 64-bit mode the other four are ignored (SDM vol. 1, section 3.4.2.1).
      if (!long || segment >= Segment.FS) into.segment = segment;
    } else if (byte === 0x66) operandPrefix = true;
    else if (byte === 0x67) into.addressBits = otherAddressBits(into.codeBits);
    else if (byte === 0xf2 || byte === 0xf3) {
      into.repeated = true;
      into.prefix = byte === 0xf3 ? Prefix.F3 : Prefix.F2;
    } else if (byte !== 0xf0) break;
    // A REX prefix counts only right before the opcode.
    rex = 0;
  }
  const plain = rex === 0 && !operandPrefix && !into.repeated;
  if (vectorPrefixes && isVectorPrefix(byte, into)) return plain && parseVectorPrefix(byte, into);

  into.rex = rex !== 0;
  into.wide = (rex >> 3) & 1;
  into.extendReg = (rex & 4) << 1;
  into.extendIndex = (rex & 2) << 2;
  into.extendBase = (rex & 1) << 3;
  if (into.wide === 1) into.operandSize = 8;
  else if (operandPrefix) into.operandSize = into.codeBits === 16 ? 4 : 2;
  if (operandPrefix && !into.repeated) into.prefix = Prefix.P66;
  parseLegacyOpcode(byte, into);
  return true;
}

function segmentOverride(byte: number): number {
  switch (byte) {
    case 0x26:
      return Segment.ES;
    case 0x2e:
      return Segment.CS;
    case 0x36:
      return Segment.SS;
    case 0x3e:
      return Segment.DS;
    case 0x64:
      return Segment.FS;
    case 0x65:
      return Segment.GS;
    default:
      return -1;
  }
}

/** What 67 makes of the address size. */
const otherAddressBits = (codeBits: number): number => (codeBits === 32 ? 16 : 32);

function parseLegacyOpcode(byte: number, into: Instruction): void {
  if (byte !== 0x0f) {
    into.map = into.codeBits === 64 ? oneByteLong : oneByteLegacy;
    into.mapNumber = 0;
    into.opcode = byte;
    return;
  }
  let map = 1;
  let opcode = into.next();
  if (opcode === 0x38 || opcode === 0x3a) {
    map = opcode === 0x38 ? 2 : 3;
    opcode = into.next();
  }
  into.map = legacyMaps[map];
  into.mapNumber = map;
  into.hasRegisterForms = map === 1;
  into.opcode = opcode;
}

/** Whether `byte` begins a vector prefix here. Outside of 64-bit mode, C4, C5 and 62 are also LES, LDS and BOUND. */
function isVectorPrefix(byte: number, into: Instruction): boolean {
  if (byte === 0xc4 || byte === 0xc5 || byte === 0x62) return into.codeBits === 64 || into.peek() >= 0xc0;
  // POP Ev has 0 where XOP has a map of 8 or more.
  return byte === 0x8f && (into.peek() & 0x1f) >= 8;
}

function parseVectorPrefix(byte: number, into: Instruction): boolean {
  switch (byte) {
    case 0xc5:
      return parseVex2(into);
    case 0xc4:
      return parseVex3(into, vexMaps, 0);
    case 0x8f:
      return parseVex3(into, xopMaps, 8);
    default:
      return parseEvex(into);
  }
}

function parseVex2(into: Instruction): boolean {
  const payload = into.next();
  into.extendReg = (~payload >> 4) & 8;
  into.map = vexMaps[1];
  return parseVexTail(payload, into);
}

function parseVex3(into: Instruction, maps: typeof vexMaps, firstMap: number): boolean {
  const first = into.next();
  const second = into.next();
  extendRegisters(first, into);
  into.wide = second >> 7;
  into.map = maps[(first & 0x1f) - firstMap];
  return parseVexTail(second, into);
}

/** vvvv, L and pp, which all forms of VEX end with, and the opcode. */
function parseVexTail(payload: number, into: Instruction): boolean {
  into.vectorLength = (payload & 4) === 0 ? 16 : 32;
  into.prefix = payload & 3;
  into.opcode = into.next();
  return true;
}

/** R, X and B, inverted, in the upper bits; outside of 64-bit mode there are no registers to extend to. */
function extendRegisters(payload: number, into: Instruction): void {
  if (into.codeBits !== 64) return;
  into.extendReg = (~payload >> 4) & 8;
  into.extendIndex = (~payload >> 3) & 8;
  into.extendBase = (~payload >> 2) & 8;
}

/** SDM vol. 2, section 2.7.1. Forms with other fixed bits (APX) are not known here. */
function parseEvex(into: Instruction): boolean {
  const first = into.next();
  const second = into.next();
  const third = into.next();
  if ((first & 0x08) !== 0 || (second & 0x04) === 0) return false;
  extendRegisters(first, into);
  into.evex = true;
  into.wide = second >> 7;
  into.prefix = second & 3;
  into.broadcast = (third & 0x10) !== 0;
  into.extendVectorIndex = into.codeBits === 64 ? (~third << 1) & 16 : 0;
  into.vectorLength = 16 << ((third >> 5) & 3);
  into.map = evexMaps[first & 7];
  into.opcode = into.next();
  return true;
}
