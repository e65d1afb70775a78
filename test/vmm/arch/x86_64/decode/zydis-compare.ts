import { type MemoryOperands, OperandFlag } from '../../../../../vmm/arch/x86_64/decode/memory-operands.ts';
import { type Range, rangesOf, textOf } from './ranges.ts';
import type { ZydisInstruction, ZydisOperand } from './zydis.ts';

/** Forms an address, accesses nothing; Zydis lists a read. */
const noAccess = /^(nop|ud0|ud1|prefetch\w*|cldemote|invlpg)$/;
/** We name more than Zydis does, or more bytes: what depends on state, and what Zydis does not list. */
const superset =
  /^(x?save\w*|xrstor\w*|iret\w*|uiret|ret|call|int\w*|enter|clzero|enqcmds?|monitorx?|umonitor|tile\w+|movsxd)$/;
/** Zydis leaves a part of the address out: a bit offset, AL, the incremented stack pointer, the stack's width. */
const otherAddress = /^(bt[src]?|xlat|pop|leave|tile\w+)$/;
/** One byte of a cache line. */
const cacheLine = /^(clflush\w*|clwb)$/;
/** For hypervisors, SMM and processors that never ran Linux guests: we say "unknown". */
const unknown =
  /^(getsec|rsm|psmash|seam\w+|tdcall|rmp\w+|pbndkb|clevict\w|delay|spflt|v?prefetch\w*|j?kn?zd|jkn?zd|kandnr|kconcat\w|kextract|kmerge\w+|[tl]zcnti?|popcnt|v(gather|scatter)pf\w+|xstore|xcrypt\w+|xsha\w+|montmul|ccs_\w+)$/;

/** What is wrong with our view of an instruction that Zydis knows, in a few words, or undefined. */
export function disagreement(ours: MemoryOperands, theirs: ZydisInstruction): string | undefined {
  const { mnemonic } = theirs;
  if ((ours.flags & OperandFlag.UNKNOWN) !== 0) return unknown.test(mnemonic) ? undefined : 'unknown';
  if (ours.length !== theirs.length) return `length ${ours.length}, not ${theirs.length}`;
  if (noAccess.test(mnemonic)) return ours.count === 0 ? undefined : 'accesses nothing';
  const ranges = rangesOf(ours);
  const accessed = theirs.operands.filter(({ reads, writes }) => reads || writes);
  if (accessed.some(({ vectorIndex }) => vectorIndex) !== ((ours.flags & OperandFlag.VECTOR_INDEX) !== 0))
    return 'vector index';
  const plain = accessed.filter(({ vectorIndex }) => !vectorIndex);
  for (const operand of plain)
    if (!ranges.some(range => agree(range, operand, mnemonic)))
      return `${operandText(operand)} not among ${textOf(ours).join(' ')}`;
  if (ranges.length !== plain.length && !superset.test(mnemonic))
    return `${textOf(ours).join(' ')} instead of ${plain.map(operandText).join(' ')}`;
  return undefined;
}

function agree(range: Range, operand: ZydisOperand, mnemonic: string): boolean {
  if (range.write !== operand.writes) return false;
  if (cacheLine.test(mnemonic)) return range.start === operand.address;
  if (operand.bytes > range.bytes) return false;
  if (operand.bytes < range.bytes && !superset.test(mnemonic)) return false;
  return operand.stack || otherAddress.test(mnemonic) || range.start === operand.address;
}

const operandText = ({ address, bytes, writes }: ZydisOperand): string =>
  `${address.toString(16)}+${bytes}${writes ? 'w' : 'r'}`;
