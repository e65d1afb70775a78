/** Runs objdump (binutils) and understands what it prints about memory operands, in Intel syntax. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { CpuContext } from '../../../../../vmm/arch/x86_64/decode/cpu-context.ts';
import { wordsOf } from './sample-cpu.ts';

export interface ObjdumpInstruction {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Those that objdump prints as words: most do not belong to the instruction. */
  readonly prefixes: string;
  readonly mnemonic: string;
  readonly operands: string;
}

const PREFIXES =
  /^(?:(?:lock|rep|repz|repnz|bnd|notrack|xacquire|xrelease|data16|data32|addr16|addr32|rex(?:\.[WRXB]+)?|[c-gs]s|\{\w+\})\s+)+/;

/** Disassembles what `options` say: a file, or raw code and its mode. Leaves out what objdump calls bad. */
export async function* disassemble(...options: string[]): AsyncGenerator<ObjdumpInstruction> {
  for await (const line of linesOf(options)) {
    const instruction = parseLine(line);
    if (instruction !== undefined) yield instruction;
  }
}

const SLOT_BYTES = 32;
const NOP = 0x90;

/**
 * Disassembles single encodings of at most 14 bytes, which are followed by as many 66 as they may want for an immediate;
 * yields those that are instructions.
 */
export async function* disassembleEach(
  encodings: readonly (readonly number[])[],
  mode: 16 | 32 | 64,
): AsyncGenerator<ObjdumpInstruction> {
  const folder = mkdtempSync(join(tmpdir(), 'tsvmm-objdump-'));
  try {
    const code = new Uint8Array(encodings.length * SLOT_BYTES).fill(0x66);
    for (const [i, encoding] of encodings.entries()) {
      code.set(encoding, i * SLOT_BYTES);
      // What is left of the slot is data16 prefixes, which a NOP ends.
      code[(i + 1) * SLOT_BYTES - 1] = NOP;
    }
    const file = join(folder, 'code');
    writeFileSync(file, code);
    const machine = { 16: 'i8086', 32: 'i386', 64: 'i386:x86-64' }[mode];
    for await (const line of linesOf(['-D', '-b', 'binary', '-m', machine, file])) {
      if (!/^ *[0-9a-f]*[02468ace]?0:/.test(line)) continue;
      const instruction = parseLine(line);
      if (instruction !== undefined && instruction.address % BigInt(SLOT_BYTES) === 0n) yield instruction;
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function linesOf(options: readonly string[]): AsyncIterable<string> {
  const child = spawn('objdump', ['-M', 'intel,intel64', '-w', '--insn-width=16', ...options], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  return createInterface({ input: child.stdout });
}

function parseLine(line: string): ObjdumpInstruction | undefined {
  const [, address, hex = '', text = ''] = /^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+) *\t(.*)$/.exec(line) ?? [];
  if (address === undefined || /[({]bad[)}]/.test(text) || text.startsWith('.byte')) return undefined;
  const prefixes = PREFIXES.exec(text)?.[0] ?? '';
  const [, mnemonic = '', operands = ''] = /^(\S+)\s*([^#<]*)/.exec(text.slice(prefixes.length)) ?? [];
  const bytes = Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  return { address: BigInt(`0x${address}`), bytes, prefixes, mnemonic, operands: operands.trim() };
}

export interface ObjdumpOperand {
  /** Position among the operands. */
  readonly position: number;
  /** Bytes, or undefined where objdump does not say. */
  readonly bytes: number | undefined;
  /** Linear address, or undefined where a vector register is part of it. */
  readonly address: bigint | undefined;
}

const SIZES: Record<string, number> = {
  ...{ BYTE: 1, WORD: 2, DWORD: 4, FWORD: 6, QWORD: 8, TBYTE: 10 },
  ...{ OWORD: 16, XMMWORD: 16, YMMWORD: 32, ZMMWORD: 64 },
};
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const MEMORY = /^(?:(\w+) (?:PTR|BCST) )?(?:([c-gs]s):)?(?:\[([^\]]+)\]|(0x[0-9a-f]+))(?:\{.*)?$/;

/** The operands in memory. `bytes` is the length of the instruction, for what is relative to RIP. */
export function memoryOperands({ operands, bytes }: ObjdumpInstruction, cpu: CpuContext): ObjdumpOperand[] {
  return splitOperands(operands).flatMap((text, position) => {
    const [, size, segment, expression, absolute] = MEMORY.exec(text) ?? [];
    if (expression === undefined && (absolute === undefined || segment === undefined)) return [];
    const offset = expression === undefined ? BigInt(absolute ?? 0) : offsetOf(expression, bytes.length, cpu);
    return [
      {
        position,
        bytes: size === undefined ? undefined : SIZES[size],
        address:
          offset === undefined ? undefined : linear(offset, segment ?? defaultSegment(expression), cpu),
      },
    ];
  });
}

/** Commas in brackets do not occur; those in masks like {rn-sae} do not either. */
const splitOperands = (text: string): string[] => text.split(',').map(operand => operand.trim());

const defaultSegment = (expression = ''): string => (/^(e|r)?(bp|sp)\b/.test(expression) ? 'ss' : 'ds');

function linear(offset: bigint, segment: string, { codeBits, segmentBases }: CpuContext): bigint {
  const number = SEGMENTS.indexOf(segment);
  const base = cachedWords(segmentBases)[number] as bigint;
  if (codeBits !== 64) return BigInt.asUintN(32, offset + base);
  return number >= 4 ? BigInt.asUintN(64, offset + base) : offset;
}

const REGISTERS = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];

/** The values of sample CPUs do not change. */
const wordsCache = new WeakMap<Uint32Array, bigint[]>();

function cachedWords(words: Uint32Array): bigint[] {
  const values = wordsCache.get(words) ?? wordsOf(words);
  wordsCache.set(words, values);
  return values;
}

/** `rax+rcx*8-0x10`, in the width of its registers. */
function offsetOf(expression: string, length: number, cpu: CpuContext): bigint | undefined {
  const registers = cachedWords(cpu.registers);
  let offset = 0n;
  let bits: number = cpu.codeBits;
  for (const [, sign, name = '', scale] of expression.matchAll(/([+-]?)(\w+)(?:\*([1248]))?/g)) {
    let value: bigint;
    if (/^[xyz]mm/.test(name)) return undefined;
    if (/^(0x)?[0-9a-f]+$/.test(name) && !/^(r?[a-d]x)$/.test(name)) value = BigInt(name);
    else {
      const [, prefix = '', number, base = '', suffix = ''] =
        /^([er]?)(?:r?(\d+)|(\w\w))([dw]?)$/.exec(name) ?? [];
      bits = number === undefined ? ({ e: 32, r: 64, '': 16 }[prefix] ?? 16) : suffix === 'd' ? 32 : 64;
      if (base === 'iz') continue;
      if (base === 'ip') value = (registers[16] as bigint) + BigInt(length);
      else value = registers[number === undefined ? REGISTERS.indexOf(base) : Number(number)] as bigint;
    }
    value *= BigInt(scale ?? 1);
    offset += sign === '-' ? -value : value;
  }
  return BigInt.asUintN(bits, offset);
}
