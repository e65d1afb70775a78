import type { CpuContext } from '../../../../../vmm/arch/x86_64/decode/cpu-context.ts';
import { type MemoryOperands, OperandFlag } from '../../../../../vmm/arch/x86_64/decode/memory-operands.ts';
import { memoryOperands, type ObjdumpInstruction, type ObjdumpOperand } from './objdump.ts';
import { type Range, rangesOf, textOf } from './ranges.ts';

/** A pattern for mnemonics, written with spaces between the alternatives. */
function anyOf(...words: string[]): RegExp {
  return new RegExp(`^(?:${words.join(' ').replaceAll(' ', '|')})$`);
}

/** In Intel syntax the first operand is the destination, except of these. */
const readsFirst = anyOf(
  'cmp[bwlq]? test bt push\\w? call jmp i?mul i?div cmps\\w? xlat bound',
  'fi?(?:add|sub|subr|mul|div|divr|com|comp) fi?ld fbld fldcw fldenv[wd]? frstor[wd]?',
  'fxrstor(?:64)? xrstors?(?:64)? v?ldmxcsr ldtilecfg l[gil]dt[dw]? ltr lmsw ver[rw] ptwrite',
  'clflush(?:opt)? clwb v?u?comis[sdh] v?ptest vtestp[sd] vmptrld vmclear vmxon aes(?:enc|dec)wide\\w+',
);
const noAccess =
  /^(lea|nop|ud[01]|prefetch\w*|cldemote|invlpg|bnd(?:mk|cl|cu|cn|ldx|stx)|v(?:gather|scatter)pf\w+)$/;
/** Writes memory that is not among the operands. */
const hiddenWrite = /^(push\w*|call\w*|lcall|int\w*|enter\w*|v?maskmov(?:q|dqu)|movdir64b|enqcmds?|clzero)$/;
/** The address has a part that objdump does not show, or several of them. */
const otherAddress = /^(bt[src]?|pop\w?|xlat|tile\w+|cmps\w?|bnd\w+)$/;
/** Where Intel's and AMD's processors differ in size, we take the larger one. */
const superset = /^(movsxd|l[sfg]s|call|jmp)$/;
/** What our opcode maps leave out on purpose. */
const unknown =
  /^(getsec|rsm|psmash|seam\w+|tdcall|rmp\w+|v(?:gather|scatter)pf\w+|xstore.*|xcrypt.*|xsha.*|montmul)$/;

/**
 * Where we and objdump may differ: it joins FWAIT with the x87 instruction behind it, prints REX prefixes that do not count
 * alone, and accepts prefixes that an opcode must not have.
 */
function readsDifferently({ bytes, prefixes, mnemonic }: ObjdumpInstruction, isUnknown: boolean): boolean {
  const opcode = bytes.findIndex(byte => !isPrefix(byte));
  if (bytes[opcode] === 0x9b) return opcode < bytes.length - 1;
  if (mnemonic.startsWith('rex')) return true;
  return (
    isUnknown && (/data16|rep/.test(prefixes) || (opcode > 0 && VECTOR_PREFIXES.includes(bytes[opcode] ?? 0)))
  );
}

const VECTOR_PREFIXES = [0xc4, 0xc5, 0x62];

const isPrefix = (byte: number): boolean =>
  (byte & 0xf0) === 0x40 || [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].includes(byte);

/** What is wrong with our view of an instruction that objdump knows, in a few words, or undefined. */
export function disagreement(
  ours: MemoryOperands,
  theirs: ObjdumpInstruction,
  cpu: CpuContext,
): string | undefined {
  const found = disagreementOn(ours, theirs, cpu);
  return found !== undefined && readsDifferently(theirs, found === 'unknown') ? undefined : found;
}

function disagreementOn(
  ours: MemoryOperands,
  theirs: ObjdumpInstruction,
  cpu: CpuContext,
): string | undefined {
  const { mnemonic, bytes } = theirs;
  if ((ours.flags & OperandFlag.UNKNOWN) !== 0) return unknown.test(mnemonic) ? undefined : 'unknown';
  if (ours.length !== bytes.length) return `length ${ours.length}, not ${bytes.length}`;
  const ranges = rangesOf(ours);
  const operands = noAccess.test(mnemonic) ? [] : memoryOperands(theirs, cpu);
  let writes = 0;
  for (const operand of operands) {
    const write = operand.position === 0 && !readsFirst.test(mnemonic);
    if (write) writes++;
    if (operand.address === undefined) {
      if ((ours.flags & OperandFlag.VECTOR_INDEX) === 0) return 'vector index';
    } else if (!ranges.some(range => range.write === write && agree(range, operand, mnemonic)))
      return `${operandText(operand, write)} not among ${textOf(ours).join(' ')}`;
  }
  const wroteHidden = ranges.filter(({ write }) => write).length > writes;
  if (writes === 0 && wroteHidden !== hiddenWrite.test(mnemonic)) return `writes ${textOf(ours).join(' ')}`;
  return undefined;
}

function agree(range: Range, operand: ObjdumpOperand, mnemonic: string): boolean {
  if (operand.bytes !== undefined && operand.bytes !== range.bytes)
    if (operand.bytes > range.bytes || !superset.test(mnemonic)) return false;
  return otherAddress.test(mnemonic) || range.start === operand.address;
}

const operandText = ({ address, bytes }: ObjdumpOperand, write: boolean): string =>
  `${address?.toString(16)}+${bytes ?? '?'}${write ? 'w' : 'r'}`;
