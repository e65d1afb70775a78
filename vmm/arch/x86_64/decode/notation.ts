/**
 * The notation of the opcode maps in maps/, after Intel SDM vol. 2, appendix A, reduced to what matters for memory:
 *
 *     opcodes [@condition]: operands [| operands with 66 [| with F3 [| with F2]]]    # mnemonics
 *
 * - One column holds for all prefixes. With more, the mandatory prefix chooses and a missing column is no instruction.
 * - `E`: ModRM names a register or memory; `M`: memory only; `R`: a register only; `C`: a register, whatever mod is.
 *   A size code follows (operand-size.ts), then `/2`, `/4` or `/8` where an EVEX broadcast has elements of another size
 *   than W says.
 * - `X`, `Y`: string operands at rSI and rDI. `O`: memory at an address in the instruction. `I`, `J`, `A`: immediates.
 * - `!` after an operand: it is written.
 * - `.`: no operand in memory. `-`: no instruction. `?`: may write elsewhere too. `desc`: loads a segment descriptor.
 * - Words: the specials of opcode-entry.ts.
 * - `[a, b*3, ...]`: a group, one entry for each value of ModRM.reg; what follows the bracket holds for all of them.
 * - Conditions: `@i64` not in 64-bit mode, `@o64` only there; `@W0`, `@W1`.
 *
 * Later lines replace earlier ones.
 */
import { TsvmmError } from '../../../errors.ts';
import {
  Broadcast,
  entryOf,
  groupEntry,
  Immediate,
  INCOMPLETE,
  LOADS_DESCRIPTOR,
  RmForm,
  Special,
  type SpecialName,
  STRING_DESTINATION,
  STRING_SOURCE,
  WRITES,
} from './opcode-entry.ts';
import { sizeCode } from './operand-size.ts';

/** Mandatory prefix, as the VEX field pp encodes it. */
export const Prefix = { NONE: 0, P66: 1, F3: 2, F2: 3 } as const;

/** An opcode map: a word of opcode-entry.ts for each opcode, mandatory prefix and W. */
export interface OpcodeMap {
  readonly entries: Uint32Array;
  readonly groups: Uint32Array;
}

/** `prefix` is one of Prefix, `wide` is W. 0 when there is no such instruction. */
export const lookUp = (map: OpcodeMap, opcode: number, prefix: number, wide: number): number =>
  map.entries[(opcode << 3) | (prefix << 1) | wide] as number;

const rmForms: Record<string, number> = {
  E: RmForm.ANY,
  M: RmForm.MEMORY,
  R: RmForm.REGISTER,
  C: RmForm.CONTROL,
};
const broadcasts: Record<string, number> = { 2: Broadcast.B2, 4: Broadcast.B4, 8: Broadcast.B8 };

/** The map written in `text`; `long` chooses between @i64 and @o64. Throws TSVMM_E_INTERNAL on a bad line. */
export function parseMap(text: string, long: boolean): OpcodeMap {
  const entries = new Uint32Array(256 * 8);
  const groups: number[] = [];
  for (const line of text.split('\n')) {
    const [meaning = ''] = line.split('#');
    if (meaning.trim() === '') continue;
    const [, opcodes = '', conditions = '', operands = ''] =
      /^([^@:]*)(?:@([\w @]*))?:(.*)$/.exec(meaning) ?? bad(line);
    const when = conditions.split(/[ @]+/);
    if (when.includes(long ? 'i64' : 'o64')) continue;
    const columns = parseColumns(operands, groups, line);
    for (const opcode of expandOpcodes(opcodes)) {
      for (let prefix = 0; prefix < 4; prefix++) {
        const entry = columns.length === 1 ? columns[0] : columns[prefix];
        if (!when.includes('W1')) entries[(opcode << 3) | (prefix << 1)] = entry ?? 0;
        if (!when.includes('W0')) entries[(opcode << 3) | (prefix << 1) | 1] = entry ?? 0;
      }
    }
  }
  return { entries, groups: Uint32Array.from(groups) };
}

const bad = (line: string): never => {
  throw new TsvmmError('TSVMM_E_INTERNAL', `bad line in an opcode map: ${line}`);
};

function* expandOpcodes(text: string): Generator<number> {
  for (const item of text.trim().split(/\s+/)) {
    const [first = '', last = first] = item.split('-');
    for (let opcode = Number.parseInt(first, 16); opcode <= Number.parseInt(last, 16); opcode++) yield opcode;
  }
}

function parseColumns(operands: string, groups: number[], line: string): number[] {
  return operands.split('|').map(column => {
    const [, members, common = ''] = /^\s*\[(.*)\](.*)$/.exec(column) ?? [];
    if (members === undefined) return parseEntry(column, line);
    const first = groups.length;
    for (const member of members.split(',')) {
      const [one = '', times = '1'] = member.split('*');
      for (let i = 0; i < Number(times); i++) groups.push(parseEntry(`${one} ${common}`, line));
    }
    return groups.length - first === 8 ? groupEntry(first) : bad(line);
  });
}

function parseEntry(text: string, line: string): number {
  const words = text.trim().split(/\s+/);
  if (words[0] === '-') return 0;
  const fields = {
    size: 0,
    rm: RmForm.NONE as number,
    immediate: Immediate.NONE as number,
    broadcast: Broadcast.BY_W as number,
    special: 0,
    flags: 0,
  };
  const operand = (size: string, writes: string | undefined): void => {
    fields.size = sizeCode(size) >= 0 ? sizeCode(size) : bad(line);
    if (writes !== undefined) fields.flags |= WRITES;
  };
  for (const word of words) {
    const [, letter = '', size = '', broadcast = '', writes] =
      /^([EMRCXYO])(\w*)(?:\/([248]))?(!)?$/.exec(word) ?? [];
    if (word in Special) fields.special = Special[word as SpecialName];
    else if (word in Immediate) fields.immediate = Immediate[word as keyof typeof Immediate];
    else if (word === '?') fields.flags |= INCOMPLETE;
    else if (word === 'desc') fields.flags |= LOADS_DESCRIPTOR;
    else if (word === '.') continue;
    else if (letter === '') bad(line);
    else {
      if (size !== '') operand(size, writes);
      if (letter === 'X') fields.flags |= STRING_SOURCE;
      else if (letter === 'Y') fields.flags |= STRING_DESTINATION;
      else if (letter === 'O') fields.immediate = Immediate.O;
      else fields.rm = rmForms[letter] as number;
      if (broadcast !== '') fields.broadcast = broadcasts[broadcast] as number;
    }
  }
  return entryOf(fields);
}
