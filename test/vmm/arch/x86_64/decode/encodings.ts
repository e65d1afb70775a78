/**
 * The opcode space: for each map, opcode, mandatory prefix, W, vector length and ModRM.reg an encoding with memory
 * operands (compressed displacement, index, RIP-relative) and one with registers, followed by enough bytes for any immediate.
 */

/** What follows the opcode: ModRM without reg, SIB, displacement. */
const operandForms: Record<16 | 32 | 64, readonly (readonly number[])[]> = {
  // [rbx + disp8]; [rbp + rsi * 4 + disp32]; [rip + disp32]; a register
  64: [[0x43, 0x11], [0x84, 0xb5, 0x44, 0x33, 0x22, 0x11], [0x05, 0x10, 0x20, 0x30, 0x40], [0xc1]],
  // [ebx + disp8]; [esp + esi * 8]; [disp32]; a register
  32: [[0x43, 0xf1], [0x04, 0xf4], [0x05, 0x10, 0x20, 0x30, 0x40], [0xc1]],
  // [bp + di + disp8]; [bx + disp16]; [disp16]; a register
  16: [[0x43, 0xf1], [0x87, 0x34, 0x12], [0x06, 0x10, 0x20], [0xc1]],
};

const padding = [0x22, 0x33, 0x04, 0x55, 0x66, 0x77, 0x08, 0x29, 0x3a];

function* withOperands(mode: 16 | 32 | 64, head: readonly number[]): Generator<Uint8Array> {
  for (let reg = 0; reg < 8; reg++)
    for (const [modRm = 0, ...rest] of operandForms[mode])
      yield Uint8Array.from([...head, modRm | (reg << 3), ...rest, ...padding].slice(0, 15));
}

const legacyPrefixes = [[], [0x66], [0xf3], [0xf2], [0x66, 0xf2]];
const legacyMaps = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];

export function* legacyEncodings(mode: 16 | 32 | 64): Generator<Uint8Array> {
  const extensions = mode === 64 ? [[], [0x48], [0x41]] : [[], [0x67]];
  for (const map of legacyMaps)
    for (let opcode = 0; opcode < 256; opcode++)
      for (const prefix of legacyPrefixes)
        for (const extension of extensions) {
          if (map.length === 0 && isPrefix(opcode, mode)) continue;
          yield* withOperands(mode, [...prefix, ...extension, ...map, opcode]);
        }
}

function isPrefix(opcode: number, mode: 16 | 32 | 64): boolean {
  if ([0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].includes(opcode)) return true;
  return mode === 64 && (opcode & 0xf0) === 0x40;
}

/** All register forms of the opcodes that have instructions by the whole ModRM byte. */
export function* registerFormEncodings(): Generator<Uint8Array> {
  for (const opcode of [0x01, 0xae, 0xc7])
    for (let modRm = 0xc0; modRm < 0x100; modRm++)
      for (const prefix of legacyPrefixes.slice(0, 4))
        yield Uint8Array.from([...prefix, 0x0f, opcode, modRm, ...padding]);
}

export function* vexEncodings(mode: 32 | 64): Generator<Uint8Array> {
  for (const map of [1, 2, 3])
    for (let opcode = 0; opcode < 256; opcode++)
      for (let pp = 0; pp < 4; pp++)
        for (const w of [0, 0x80])
          for (const l of [0, 4]) yield* withOperands(mode, [0xc4, 0xe0 | map, w | 0x78 | l | pp, opcode]);
}

export function* xopEncodings(): Generator<Uint8Array> {
  for (const map of [8, 9, 10])
    for (let opcode = 0; opcode < 256; opcode++)
      for (const w of [0, 0x80])
        for (const l of [0, 4]) yield* withOperands(64, [0x8f, 0xe0 | map, w | 0x78 | l, opcode]);
}

/** Masked by k1, so that compressing and scattering forms are valid; with and without broadcast. */
export function* evexEncodings(mode: 32 | 64): Generator<Uint8Array> {
  for (const map of [1, 2, 3, 5, 6])
    for (let opcode = 0; opcode < 256; opcode++)
      for (let pp = 0; pp < 4; pp++)
        for (const w of [0, 0x80])
          for (const third of [0x08, 0x28, 0x48, 0x18, 0x58, 0x09, 0x49])
            yield* withOperands(mode, [0x62, 0xf0 | map, w | 0x7c | pp, third, opcode]);
}
