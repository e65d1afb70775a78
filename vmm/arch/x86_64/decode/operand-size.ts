/**
 * Sizes of memory operands, by the codes of Intel SDM vol. 2, appendix A.2.2, and a few of our own where the SDM has
 * none. Fixed sizes are also written as a number of bytes.
 */
const fixedSizes = { b: 1, w: 2, d: 4, q: 8, t: 10, dq: 16, qq: 32, 48: 48, 64: 64, 512: 512 } as const;

/** Sizes that depend on prefixes and mode. */
const variableSizes = [
  '0', // an address is formed, nothing is accessed: LEA, NOP, PREFETCH
  'v', // 2, 4 or 8, the operand size
  'z', // 2 or 4: v, but 4 for a 64-bit operand size
  'y', // 4, or 8 with W in 64-bit mode
  'yy', // 8, or 16 with W: CMPXCHG8B and CMPXCHG16B
  'n', // 4, or 8 in 64-bit mode, whatever the prefixes: VMREAD
  'd64', // v, but in 64-bit mode 8 unless there is a 66 prefix (superscript d64)
  'f64', // v, but in 64-bit mode always 8 (superscript f64)
  'p', // far pointer: selector and offset
  's', // limit and base of a descriptor table: 6, or 10 in 64-bit mode
  'a', // two operands: BOUND
  'bnd', // two addresses: BNDMOV
  'x', // the vector length: 16, 32 or 64
  'h', // half of it
  'f', // a fourth of it
  'e', // an eighth of it
  'dup', // the vector length, but 8 where that is 16: MOVDDUP
  'el', // one element: 4, or 8 with W
  'cel', // up to a vector, displacement in elements of 4, or 8 with W: compress and expand
  'cb', // up to a vector, displacement in elements of 1, or 2 with W
  'env', // x87 environment: 14 or 28
  'fpu', // x87 state: 94 or 108
  'xs', // XSAVE area
] as const;

const fixedNames = Object.keys(fixedSizes) as (keyof typeof fixedSizes)[];
const fixedBytes = Object.values(fixedSizes);
const names: readonly string[] = [...variableSizes, ...fixedNames.map(String)];

/** The number that stands for a size code, or -1. */
export const sizeCode = (name: string): number => names.indexOf(name);

type VariableSize = (typeof variableSizes)[number];
const code = Object.fromEntries(variableSizes.map((name, index) => [name, index])) as Record<
  VariableSize,
  number
>;
export const NO_ACCESS = code['0'];
const { v, z, y, yy, n, d64, f64, p, s, a, bnd, x, h, f, e, dup, el, cel, cb, env, fpu, xs } = code;

/** What a size can depend on. */
export interface SizeConditions {
  /** 2, 4 or 8. */
  readonly operandSize: number;
  /** 16, 32 or 64: the mode of the code segment. */
  readonly codeBits: number;
  /** 0 or 1: REX.W, VEX.W or EVEX.W. */
  readonly wide: number;
  /** 16, 32 or 64. */
  readonly vectorLength: number;
  /** Largest number of bytes that an instruction of the XSAVE family touches. */
  readonly xsaveLength: number;
}

/** Bytes of an operand whose size has the code `size`; 0 if nothing is accessed. */
export function operandBytes(size: number, at: SizeConditions): number {
  if (size >= variableSizes.length) return fixedBytes[size - variableSizes.length] as number;
  const long = at.codeBits === 64;
  switch (size) {
    case v:
      return at.operandSize;
    case z:
      return at.operandSize === 2 ? 2 : 4;
    case y:
      return long && at.wide === 1 ? 8 : 4;
    case yy:
      return long && at.wide === 1 ? 16 : 8;
    case n:
      return long ? 8 : 4;
    case d64:
      return stackOperandSize(at);
    case f64:
      return long ? 8 : at.operandSize;
    case p:
      return at.operandSize + 2;
    case s:
      return long ? 10 : 6;
    case a:
      return 2 * at.operandSize;
    case bnd:
      return long ? 16 : 8;
    case x:
    case cel:
    case cb:
      return at.vectorLength;
    case h:
      return at.vectorLength >> 1;
    case f:
      return at.vectorLength >> 2;
    case e:
      return at.vectorLength >> 3;
    case dup:
      return at.vectorLength === 16 ? 8 : at.vectorLength;
    case el:
      return at.wide === 1 ? 8 : 4;
    case env:
      return at.operandSize === 2 ? 14 : 28;
    case fpu:
      return at.operandSize === 2 ? 94 : 108;
    case xs:
      return at.xsaveLength;
    default:
      return 0;
  }
}

/** Bytes that a push moves: SDM vol. 1, section 6.2.2. */
export function stackOperandSize(at: SizeConditions): number {
  if (at.codeBits !== 64) return at.operandSize;
  return at.operandSize === 2 ? 2 : 8;
}

/**
 * The N of EVEX's compressed displacement, disp8*N (SDM vol. 2, section 2.7.5): what the memory operand takes without
 * a broadcast, one element for compress and expand.
 */
export function displacementScale(size: number, at: SizeConditions): number {
  if (size === cel) return at.wide === 1 ? 8 : 4;
  if (size === cb) return at.wide === 1 ? 2 : 1;
  return operandBytes(size, at);
}
