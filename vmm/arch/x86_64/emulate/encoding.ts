import { TsvmmError } from '../../../errors.ts';
import type { Instruction } from '../decode/instruction.ts';
import { Prefix } from '../decode/notation.ts';
import type { EmulatedCpu } from './emulated-cpu.ts';

/** An instruction that can be completed. */
export interface Emulated {
  /**
   * As in the SDM's opcode column, such as `F3 0F B8 /r` or `NP 0F 01 CA`. NP, 66, F3 or F2: the mandatory prefix; if
   * left out, it does not matter; `/4`: ModRM.reg; `m`, `r`: the operand is in memory, in a register; `W0`, `W1`.
   */
  readonly encoding: string;
  readonly name: string;
  /** Throws GuestException or NotEmulated, before anything has been changed. */
  readonly execute: (cpu: EmulatedCpu) => void;
}

/** What must be as given; undefined where anything goes. */
interface Pattern {
  prefix?: number;
  wide?: number;
  /** Without its extension by REX. */
  reg?: number;
  rm?: number;
  inMemory?: boolean;
}

const prefixes = new Map<string, number>([
  ['NP', Prefix.NONE],
  ['66', Prefix.P66],
  ['F3', Prefix.F3],
  ['F2', Prefix.F2],
]);

interface Row {
  readonly pattern: Pattern;
  readonly emulated: Emulated;
}

/** Finds the instructions of a list by their encodings, in whatever order it has them. */
export class EncodingTable {
  /** By map and opcode: a few each, so that to compare them all with each other takes no time. */
  private readonly rows = new Map<number, Row[]>();

  /** Throws TSVMM_E_INTERNAL on a bad encoding, and when two of them may mean the same instruction. */
  constructor(list: readonly Emulated[]) {
    for (const emulated of list) {
      const { map, opcode, pattern } = parseEncoding(emulated.encoding);
      const rows = this.rows.get(keyOf(map, opcode)) ?? [];
      const other = rows.find(row => overlap(row.pattern, pattern))?.emulated.encoding;
      if (other !== undefined)
        throw new TsvmmError('TSVMM_E_INTERNAL', `encodings overlap: ${other} and ${emulated.encoding}`);
      this.rows.set(keyOf(map, opcode), [...rows, { pattern, emulated }]);
    }
  }

  find(instruction: Instruction): Emulated | undefined {
    const rows = this.rows.get(keyOf(instruction.mapNumber, instruction.opcode));
    return rows?.find(({ pattern }) => matches(pattern, instruction))?.emulated;
  }
}

const keyOf = (map: number, opcode: number): number => (map << 8) | opcode;

function matches({ prefix, wide, reg, rm, inMemory }: Pattern, instruction: Instruction): boolean {
  return (
    (prefix === undefined || prefix === instruction.prefix) &&
    (wide === undefined || wide === instruction.wide) &&
    (reg === undefined || reg === (instruction.reg & 7)) &&
    (rm === undefined || rm === (instruction.rm & 7)) &&
    (inMemory === undefined || inMemory === (instruction.mod !== 3))
  );
}

/** Whether an instruction can match both: nothing is demanded by both, differently. */
const overlap = (one: Pattern, other: Pattern): boolean =>
  (['prefix', 'wide', 'reg', 'rm', 'inMemory'] as const).every(
    key => one[key] === undefined || other[key] === undefined || one[key] === other[key],
  );

function parseEncoding(text: string): { map: number; opcode: number; pattern: Pattern } {
  const words = text.split(' ');
  const pattern: Pattern = {};
  const isByte = (word: string | undefined): word is string => /^[0-9A-F]{2}$/.test(word ?? '');
  const prefix = prefixes.get(words[0] ?? '');
  if (prefix !== undefined) {
    pattern.prefix = prefix;
    words.shift();
  }
  let map = 0;
  if (words[0] === '0F') {
    words.shift();
    map = 1 + Math.max(0, ['', '38', '3A'].indexOf(words[0] ?? ''));
    if (map > 1) words.shift();
  }
  const opcode = words.shift();
  if (!isByte(opcode)) throw new TsvmmError('TSVMM_E_INTERNAL', `bad encoding: ${text}`);
  if (isByte(words[0])) {
    const modRm = Number.parseInt(words.shift() as string, 16);
    Object.assign(pattern, { inMemory: false, reg: (modRm >> 3) & 7, rm: modRm & 7 });
  }
  for (const word of words) {
    if (/^\/[0-7]$/.test(word)) pattern.reg = Number(word[1]);
    else if (word === 'm' || word === 'r') pattern.inMemory = word === 'm';
    else if (word === 'W0' || word === 'W1') pattern.wide = Number(word[1]);
    else if (word !== '/r') throw new TsvmmError('TSVMM_E_INTERNAL', `bad encoding: ${text}`);
  }
  return { map, opcode: Number.parseInt(opcode, 16), pattern };
}
