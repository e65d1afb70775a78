/** Numbers of general registers in instruction encodings, as far as instructions use them implicitly. */
export const Gpr = { RAX: 0, RCX: 1, RDX: 2, RBX: 3, RSP: 4, RBP: 5, RSI: 6, RDI: 7, RIP: 16 } as const;

/** Numbers of segment registers in instruction encodings. */
export const Segment = { ES: 0, CS: 1, SS: 2, DS: 3, FS: 4, GS: 5 } as const;

/** The largest XSAVE area that an x86 processor of today has: all components up to AMX tile data. */
export const LARGEST_XSAVE_AREA = 11_008;

/** What the meaning of an instruction's operands depends on. 64-bit values are pairs of words, low first. */
export interface CpuContext {
  /** 16, 32 or 64: the mode of the code segment. */
  codeBits: 16 | 32 | 64;
  /** 16, 32 or 64: the width of the stack pointer. */
  stackBits: 16 | 32 | 64;
  /** Protected mode and not virtual-8086: VEX, EVEX and XOP prefixes exist. */
  vectorPrefixes: boolean;
  /** RFLAGS.DF: string instructions go downwards. */
  descending: boolean;
  /** Bytes that the XSAVE family writes at most; LARGEST_XSAVE_AREA if not known. */
  xsaveLength: number;
  /** The 16 general registers in encoding order, then RIP. */
  readonly registers: Uint32Array;
  /** Bases of ES, CS, SS, DS, FS, GS. In 64-bit mode only those of FS and GS are used. */
  readonly segmentBases: Uint32Array;
}

export const createCpuContext = (): CpuContext => ({
  codeBits: 64,
  stackBits: 64,
  vectorPrefixes: true,
  descending: false,
  xsaveLength: LARGEST_XSAVE_AREA,
  registers: new Uint32Array(17 * 2),
  segmentBases: new Uint32Array(6 * 2),
});
