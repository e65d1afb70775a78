import type { CpuContext } from './cpu-context.ts';
import { type Instruction, LONGEST_INSTRUCTION, NO_REGISTER, RIP_RELATIVE } from './instruction.ts';
import { registerFormMaps } from './maps/index.ts';
import { lookUp } from './notation.ts';
import {
  Broadcast,
  broadcastOf,
  GROUP,
  groupIndex,
  Immediate,
  immediateOf,
  KNOWN,
  RmForm,
  rmFormOf,
  Special,
  sizeOf,
  specialOf,
} from './opcode-entry.ts';
import { displacementScale, operandBytes } from './operand-size.ts';
import { parsePrefixes } from './prefixes.ts';

export const ParseStatus = {
  OK: 0,
  /** Not an instruction that the opcode maps know. */
  UNKNOWN: 1,
  /** The bytes end before the instruction does. */
  TRUNCATED: 2,
} as const;
export type ParseStatus = (typeof ParseStatus)[keyof typeof ParseStatus];

/** Reads the instruction that `bytes` begins with, of which `available` are there. */
export function parseInstruction(
  into: Instruction,
  bytes: Uint8Array,
  available: number,
  context: CpuContext,
): ParseStatus {
  into.reset(bytes, available, context);
  const known = parsePrefixes(into, context.vectorPrefixes) && parseOpcode(into);
  if (known) parseImmediate(into);
  if (into.overrun) return available < LONGEST_INSTRUCTION ? ParseStatus.TRUNCATED : ParseStatus.UNKNOWN;
  return known ? ParseStatus.OK : ParseStatus.UNKNOWN;
}

/** Bytes of the operand that ModRM names. */
export function memoryBytes(of: Instruction): number {
  return of.broadcast ? broadcastBytes(of) : operandBytes(sizeOf(of.entry), of);
}

function broadcastBytes(of: Instruction): number {
  switch (broadcastOf(of.entry)) {
    case Broadcast.B2:
      return 2;
    case Broadcast.B4:
      return 4;
    case Broadcast.B8:
      return 8;
    default:
      return of.wide === 1 ? 8 : 4;
  }
}

function parseOpcode(into: Instruction): boolean {
  const { map } = into;
  if (map === undefined) return false;
  if (into.hasRegisterForms && into.peek() >= 0xc0) {
    const forms = registerFormMaps.get(into.opcode);
    if (forms !== undefined) {
      const modRm = into.next();
      into.reg = ((modRm >> 3) & 7) | into.extendReg;
      into.rm = (modRm & 7) | into.extendBase;
      into.entry = lookUp(forms, modRm, into.prefix, into.wide);
      return (into.entry & KNOWN) !== 0;
    }
  }
  let entry = lookUp(map, into.opcode, into.prefix, into.wide);
  if ((entry & GROUP) !== 0) entry = map.groups[groupIndex(entry) + ((into.peek() >> 3) & 7)] as number;
  into.entry = entry;
  return (entry & KNOWN) !== 0 && parseModRm(into);
}

function parseModRm(into: Instruction): boolean {
  const form = rmFormOf(into.entry);
  if (form === RmForm.NONE) return true;
  const modRm = into.next();
  into.mod = form === RmForm.CONTROL ? 3 : modRm >> 6;
  into.reg = ((modRm >> 3) & 7) | into.extendReg;
  into.rm = (modRm & 7) | into.extendBase;
  if (into.mod === 3) return form !== RmForm.MEMORY;
  if (into.addressBits === 16) parseAddress16(into, modRm & 7);
  else parseAddress(into, modRm & 7);
  // 128 bytes stand for EVEX's reserved vector length.
  return form !== RmForm.REGISTER && into.vectorLength <= 64;
}

/** SDM vol. 2, table 2-1. */
function parseAddress16(into: Instruction, rm: number): void {
  const BX = 3;
  const BP = 5;
  const SI = 6;
  const DI = 7;
  if (rm < 4) {
    into.base = rm < 2 ? BX : BP;
    into.index = (rm & 1) === 0 ? SI : DI;
  } else if (rm === 6) into.base = into.mod === 0 ? NO_REGISTER : BP;
  else into.base = rm === 4 ? SI : rm === 5 ? DI : BX;
  if (into.mod === 1) setDisplacement8(into);
  else if (into.mod === 2 || (into.mod === 0 && rm === 6))
    setDisplacement(into, (into.nextBytes(2) << 16) >> 16);
}

/** SDM vol. 2, tables 2-2 and 2-3. */
function parseAddress(into: Instruction, rm: number): void {
  let low = rm;
  if (rm === 4) {
    const sib = into.next();
    low = sib & 7;
    into.scale = sib >> 6;
    into.index = indexRegister(into, (sib >> 3) & 7);
  }
  into.base = low | into.extendBase;
  if (low === 5 && into.mod === 0) {
    into.base = rm === 5 && into.codeBits === 64 ? RIP_RELATIVE : NO_REGISTER;
    setDisplacement(into, into.nextBytes(4));
  } else if (into.mod === 1) setDisplacement8(into);
  else if (into.mod === 2) setDisplacement(into, into.nextBytes(4));
}

/** RSP's number means "no index", except where the index is a vector register. */
function indexRegister(into: Instruction, encoded: number): number {
  const register = encoded | into.extendIndex;
  const special = specialOf(into.entry);
  if (special === Special.vsibd || special === Special.vsibq) return register | into.extendVectorIndex;
  return register === 4 ? NO_REGISTER : register;
}

function setDisplacement(into: Instruction, value: number): void {
  into.displacementLow = value;
  into.displacementHigh = value >> 31;
}

function setDisplacement8(into: Instruction): void {
  const value = (into.next() << 24) >> 24;
  setDisplacement(into, into.evex ? value * compressedScale(into) : value);
}

function compressedScale(into: Instruction): number {
  return into.broadcast ? broadcastBytes(into) : displacementScale(sizeOf(into.entry), into);
}

function parseImmediate(into: Instruction): void {
  const kind = immediateOf(into.entry);
  if (kind === Immediate.NONE) return;
  if (kind === Immediate.O) {
    into.displacementLow = into.nextBytes(into.addressBits === 16 ? 2 : 4);
    if (into.addressBits === 64) into.displacementHigh = into.nextBytes(4);
    return;
  }
  const count = immediateBytes(into, kind);
  into.immediate = into.nextBytes(Math.min(count, 4));
  if (count > 4) into.nextBytes(count - 4);
}

function immediateBytes(of: Instruction, kind: number): number {
  const z = of.operandSize === 2 ? 2 : 4;
  switch (kind) {
    case Immediate.Ib:
      return 1;
    case Immediate.Iw:
      return 2;
    case Immediate.IwIb:
      return 3;
    case Immediate.Iv:
      return of.operandSize;
    case Immediate.Jz:
      return of.codeBits === 64 ? 4 : z;
    case Immediate.Ap:
      return z + 2;
    case Immediate.Id:
      return 4;
    default:
      return z;
  }
}
