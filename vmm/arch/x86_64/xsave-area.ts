import type { VectorLayout } from './decode/vector-index.ts';

/** What of an XSAVE area matters to the operand decoder. */
export interface XsaveArea extends VectorLayout {
  /** Of the area with all that the processor supports. */
  readonly bytes: number;
}

interface CpuidLeaf {
  readonly function: number;
  readonly index: number;
  readonly ebx: number;
  readonly ecx: number;
}

const LEAF = 0xd;
/** State components: SDM vol. 1, section 13.1. */
const YMM_HIGH = 2;
const ZMM_HIGH = 6;
const ZMM_16 = 7;
/** As all of Intel's processors have it. A component that a processor lacks holds no register that could be an index. */
const USUAL = { ymmHigh: 576, zmmHigh: 1152, zmm16: 1664 };

/** Reads CPUID leaf 0DH; undefined where there is none. */
export function xsaveAreaOf(leaves: readonly CpuidLeaf[]): XsaveArea | undefined {
  const leaf = (index: number) => leaves.find(entry => entry.function === LEAF && entry.index === index);
  const bytes = leaf(0)?.ecx ?? 0;
  if (bytes === 0) return undefined;
  return {
    bytes,
    ymmHigh: leaf(YMM_HIGH)?.ebx || USUAL.ymmHigh,
    zmmHigh: leaf(ZMM_HIGH)?.ebx || USUAL.zmmHigh,
    zmm16: leaf(ZMM_16)?.ebx || USUAL.zmm16,
  };
}
