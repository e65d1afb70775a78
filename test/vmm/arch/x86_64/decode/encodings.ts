/**
 * The opcode space: for each map, opcode, mandatory prefix, W, vector length and ModRM.reg, encodings with an operand in
 * memory (compressed displacement, index, RIP-relative) and one with registers. Immediates are left to the user, who
 * puts any bytes behind.
 */
type Mode = 16 | 32 | 64;
type Encodings = Generator<readonly number[]>;

/** What to vary. */
export interface Extent {
  /** Which of the operand forms. */
  readonly forms: readonly number[];
  /** Values of ModRM.reg. */
  readonly regs: readonly number[];
}

export const everything: Extent = { forms: [0, 1, 2, 3], regs: [0, 1, 2, 3, 4, 5, 6, 7] };

/** Every `step`-th; a prime number takes from all values of all parts. */
export function* sample<Item>(items: Iterable<Item>, step: number): Generator<Item> {
  let i = 0;
  for (const item of items) if (i++ % step === 0) yield item;
}

/** What follows the opcode: ModRM without reg, SIB, displacement. */
const operandForms: Record<Mode, readonly (readonly number[])[]> = {
  // [rbx + disp8]; [rbp + rsi * 4 + disp32]; [rip + disp32]; a register
  64: [[0x43, 0x11], [0x84, 0xb5, 0x44, 0x33, 0x22, 0x11], [0x05, 0x10, 0x20, 0x30, 0x40], [0xc1]],
  // [ebx + disp8]; [esp + esi * 8]; [disp32]; a register
  32: [[0x43, 0xf1], [0x04, 0xf4], [0x05, 0x10, 0x20, 0x30, 0x40], [0xc1]],
  // [bp + di + disp8]; [bx + disp16]; [disp16]; a register
  16: [[0x43, 0xf1], [0x87, 0x34, 0x12], [0x06, 0x10, 0x20], [0xc1]],
};

function* withOperands(mode: Mode, { forms, regs }: Extent, head: readonly number[]): Encodings {
  for (const reg of regs)
    for (const form of forms) {
      const [modRm = 0, ...rest] = operandForms[mode][form] ?? [];
      yield [...head, modRm | (reg << 3), ...rest];
    }
}

const legacyPrefixes = [[], [0x66], [0xf3], [0xf2], [0x66, 0xf2]];
const legacyMaps = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];

export function* legacyEncodings(mode: Mode, extent: Extent): Encodings {
  const extensions = mode === 64 ? [[], [0x48], [0x41]] : [[], [0x67]];
  for (const map of legacyMaps)
    for (let opcode = 0; opcode < 256; opcode++) {
      if (map.length === 0 && isPrefix(opcode, mode)) continue;
      for (const prefix of legacyPrefixes)
        for (const extension of extensions)
          yield* withOperands(mode, extent, [...prefix, ...extension, ...map, opcode]);
    }
}

function isPrefix(opcode: number, mode: Mode): boolean {
  if ([0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].includes(opcode)) return true;
  return mode === 64 && ((opcode & 0xf0) === 0x40 || [0x62, 0xc4, 0xc5].includes(opcode));
}

/** All register forms of the opcodes that have instructions by the whole ModRM byte. */
export function* registerFormEncodings(): Encodings {
  for (const opcode of [0x01, 0xae, 0xc7])
    for (let modRm = 0xc0; modRm < 0x100; modRm++)
      for (const prefix of legacyPrefixes.slice(0, 4)) yield [...prefix, 0x0f, opcode, modRm];
}

export function* vexEncodings(mode: 32 | 64, extent: Extent): Encodings {
  for (const map of [1, 2, 3])
    for (let opcode = 0; opcode < 256; opcode++)
      for (let pp = 0; pp < 4; pp++)
        for (const w of [0, 0x80])
          for (const l of [0, 4])
            yield* withOperands(mode, extent, [0xc4, 0xe0 | map, w | 0x78 | l | pp, opcode]);
}

export function* xopEncodings(extent: Extent): Encodings {
  for (const map of [8, 9, 10])
    for (let opcode = 0; opcode < 256; opcode++)
      for (const w of [0, 0x80])
        for (const l of [0, 4]) yield* withOperands(64, extent, [0x8f, 0xe0 | map, w | 0x78 | l, opcode]);
}

/** Vector lengths, with and without a broadcast, with and without the mask that compressing and scattering need. */
const evexThirds = [0x08, 0x28, 0x48, 0x18, 0x58, 0x09, 0x49];

export function* evexEncodings(mode: 32 | 64, extent: Extent): Encodings {
  for (const map of [1, 2, 3, 5, 6])
    for (let opcode = 0; opcode < 256; opcode++)
      for (let pp = 0; pp < 4; pp++)
        for (const w of [0, 0x80])
          for (const third of evexThirds)
            yield* withOperands(mode, extent, [0x62, 0xf0 | map, w | 0x7c | pp, third, opcode]);
}
