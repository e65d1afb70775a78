/** The emulator against the CPU: the same random state, the same instruction, the same state behind it. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { gpa } from '../../../../../vmm/memory/address.ts';
import { lacksCompiler } from '../../../../support/c-program.ts';
import { testUnless } from '../../../../support.ts';
import { assemble } from '../decode/assemble.ts';
import { cpuFeatures } from '../decode/cpu-harness.ts';
import { EmulatedMachine } from './emulated-machine.ts';
import { CODE, type CpuState, DATA, DATA_BYTES, runNatively, SIGTRAP } from './native.ts';

const DATA_PHYSICAL = 0x10_0000;
const CODE_PHYSICAL = 0x11_0000;
const Arithmetic = { ALL: 0x8d5n, CARRY_ZERO: 0x41n, ZERO: 0x40n };
const ROUNDS = 24;
/** Of processors since 2004; the CPU writes it, and so does KVM_GET_XSAVE. */
const MXCSR_MASK = 0xffff;

interface Form {
  readonly texts: readonly string[];
  readonly feature?: string;
  /** Flags that the manual defines. */
  readonly flags?: bigint;
}

const operands = ['0x40(%rdi)', '(%rdi,%rsi,8)', '0xff8(%rdi)', '0xffc(%rdi)'];
const onMemory = (template: string): string[] => operands.map(operand => template.replace('{}', operand));
const aligned = (template: string): string[] =>
  ['(%rdi)', '0x80(%rdi)', '0xff0(%rdi)'].map(operand => template.replace('{}', operand));

const forms: readonly Form[] = [
  {
    texts: ['popcnt %rax, %rbx', 'popcnt %r9d, %r12d', 'popcnt %cx, %dx', ...onMemory('popcnt {}, %r10')],
    feature: 'popcnt',
  },
  {
    texts: ['tzcnt %rax, %rbx', 'tzcnt %r9d, %ecx', ...onMemory('tzcnt {}, %rax')],
    feature: 'bmi1',
    flags: Arithmetic.CARRY_ZERO,
  },
  {
    texts: ['lzcnt %rax, %rbx', 'lzcnt %r9d, %ecx', ...onMemory('lzcnt {}, %eax')],
    feature: 'abm',
    flags: Arithmetic.CARRY_ZERO,
  },
  {
    texts: [
      'crc32q %rax, %rbx',
      'crc32l %r8d, %ecx',
      'crc32w %ax, %edx',
      ...['%cl', '%ah', '%ch', '%dh', '%bh', '%spl', '%bpl', '%sil', '%dil', '%r12b'].map(
        byte => `crc32b ${byte}, %eax`,
      ),
      ...onMemory('crc32q {}, %r11'),
    ],
    feature: 'sse4_2',
  },
  {
    texts: ['lock cmpxchg16b (%rdi)', 'cmpxchg16b 0x80(%rdi)'],
    feature: 'cx16',
  },
  {
    texts: [
      'movd %eax, %xmm1',
      'movq %r9, %xmm12',
      'movd %xmm3, %ecx',
      'movq %xmm9, %rdx',
      ...onMemory('movd {}, %xmm0'),
      ...onMemory('movq %xmm8, {}'),
      'movq %xmm1, %xmm2',
    ],
  },
  {
    texts: [
      ...aligned('movdqa {}, %xmm5'),
      ...aligned('movaps %xmm6, {}'),
      ...onMemory('movdqu {}, %xmm7'),
      ...onMemory('movups %xmm1, {}'),
      'movapd %xmm3, %xmm13',
      ...aligned('movntdq %xmm2, {}'),
      ...onMemory('lddqu {}, %xmm4'),
    ],
  },
  {
    texts: [
      'movss %xmm1, %xmm2',
      'movsd %xmm3, %xmm4',
      ...onMemory('movss {}, %xmm1'),
      ...onMemory('movsd {}, %xmm2'),
      ...onMemory('movss %xmm3, {}'),
      ...onMemory('movsd %xmm4, {}'),
    ],
  },
  {
    texts: [
      'pand %xmm1, %xmm2',
      'pandn %xmm3, %xmm4',
      'por %xmm9, %xmm5',
      'pxor %xmm6, %xmm15',
      'andps %xmm1, %xmm0',
      'andnpd %xmm1, %xmm0',
      'orps %xmm1, %xmm0',
      'xorpd %xmm1, %xmm0',
      ...aligned('pxor {}, %xmm3'),
      ...aligned('andnps {}, %xmm3'),
    ],
  },
  { texts: [...onMemory('stmxcsr {}'), 'ldmxcsr 0x200(%rdi)', 'fwait'] },
  { texts: ['xgetbv'], feature: 'xgetbv1' },
  {
    texts: ['xsave (%rdi)', 'xsave 0xf00(%rdi)', 'xrstor 0x1000(%rdi)', 'xsave64 0x40(%rdi)'],
    feature: 'avx512f',
  },
  { texts: ['xsaveopt 0x80(%rdi)'], feature: 'xsaveopt' },
  { texts: ['xsavec (%rdi)', 'xsavec64 0xe40(%rdi)', 'xrstor 0x1000(%rdi)'], feature: 'xsavec' },
  { texts: ['mfence', 'sfence', 'lfence', 'clflush (%rdi)', 'prefetchw (%rdi)', 'endbr64', 'nopl (%rdi)'] },
];

/** xorshift32: the same states in every run. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function randomState(random: () => number, text: string): CpuState {
  const registers = Array.from({ length: 16 }, () => (BigInt(random()) << 32n) | BigInt(random()));
  registers[7] = DATA;
  registers[6] = BigInt(random() % 0x100);
  registers[4] = DATA + 0x800n;
  const data = Uint8Array.from({ length: DATA_BYTES }, () => random() & 0xff);
  // Zeros and small numbers are where flags differ.
  if (random() % 4 === 0) data.fill(0, 0, 0x80);
  if (random() % 4 === 0) registers[0] = BigInt(random() % 3);
  const view = new DataView(data.buffer);
  view.setUint32(0x200, 0x1f80 | (random() & 0x603f), true);
  if (/cmpxchg/.test(text) && random() % 2 === 0) {
    // Equal to what is there, so that the exchange happens.
    const at = Number(/0x(\w+)/.exec(text)?.[0] ?? 0);
    registers[0] = view.getBigUint64(at, true);
    registers[2] = view.getBigUint64(at + 8, true);
  }
  if (/xsave|xrstor|xgetbv/.test(text)) {
    registers[0] = BigInt([0xe7, 0x7, 0x3, 0xe4, 0x2, 0x1, 0x4][random() % 7] as number);
    registers[2] = 0n;
    if (text === 'xgetbv') registers[1] = 1n;
    makeArea(random, data.subarray(0x1000), /c/.test(text) && random() % 2 === 0);
  }
  return {
    registers,
    rflags: 0x202n | (BigInt(random()) & Arithmetic.ALL),
    area: makeArea(random, new Uint8Array(4096)),
    data,
  };
}

/** Where components lie in the standard format. */
const places: readonly (readonly [component: number, at: number, size: number])[] = [
  [0, 32, 128],
  [1, 160, 256],
  [2, 576, 256],
  [5, 1088, 64],
  [6, 1152, 512],
  [7, 1664, 1024],
];

/** A random XSAVE area with a header that XRSTOR takes. */
function makeArea(random: () => number, area: Uint8Array, compact = false): Uint8Array {
  for (let i = 0; i < 2688; i++) area[i] = random() & 0xff;
  area.fill(0, 416, 576);
  area.fill(0, 24, 32);
  const view = new DataView(area.buffer, area.byteOffset);
  view.setUint16(0, 0x37f, true);
  view.setUint16(2, 0, true);
  area.fill(0, 4, 24);
  for (let i = 0; i < 8; i++) area.fill(0, 32 + 16 * i + 10, 48 + 16 * i);
  view.setUint32(24, 0x1f80 | (random() & 0x6000), true);
  view.setUint32(28, MXCSR_MASK, true);
  const present = [0xe7, 0x7, 0x3, 0x6, 0xe6][random() % 5] as number;
  view.setUint32(512, present, true);
  // What is not in use has its initial value: KVM and the kernel write areas so.
  for (const [component, at, size] of places)
    if (((present >> component) & 1) === 0) area.fill(0, at, at + size);
  if (compact) {
    view.setUint32(520, 0xe7, true);
    view.setUint32(524, 0x8000_0000, true);
  }
  return area;
}

/** Components that are not in use hold whatever they hold: made equal here. */
function normalized(area: Uint8Array): Uint8Array {
  const copy = area.slice(0, 2688);
  const view = new DataView(copy.buffer);
  const inUse = view.getUint32(512, true);
  for (const [component, at, size] of places)
    if (((inUse >> component) & 1) === 0) copy.fill(0, at, at + size);
  // A signal's frame always says that x87 and SSE are in use; opcode and pointers of x87 are the processor's business.
  view.setUint32(512, inUse & ~3, true);
  copy.fill(0, 4, 24);
  copy.fill(0, 28, 32);
  if ((inUse & 1) === 0) view.setUint16(0, 0x37f, true);
  return copy.fill(0, 416, 512);
}

function emulate(machine: EmulatedMachine, code: Uint8Array, before: CpuState) {
  const { memory, regs } = machine;
  memory.copyIn(gpa(CODE_PHYSICAL), code);
  memory.copyIn(gpa(DATA_PHYSICAL), before.data);
  machine.setRegisters(before.registers);
  machine.area = before.area.slice();
  machine.events.bytes.fill(0);
  regs.rip = CODE;
  regs.rflags = before.rflags;
  const name = machine.emulator.complete();
  const data = new Uint8Array(DATA_BYTES);
  memory.copyOut(gpa(DATA_PHYSICAL), data);
  return { name, registers: machine.registers, rflags: regs.rflags, rip: regs.rip, area: machine.area, data };
}

/** Names the first byte that differs. */
function assertSame(got: Uint8Array, expected: Uint8Array, title: string): void {
  const at = got.findIndex((byte, i) => byte !== expected[i]);
  assert.is(at, -1, `${title}: byte ${at} is ${got[at]}, not ${expected[at]}`);
}

for (const [index, { texts, feature, flags = Arithmetic.ALL }] of forms.entries()) {
  const name = texts[0]?.split(' ')[0] ?? '';
  const reason =
    lacksCompiler() ??
    (feature !== undefined && !cpuFeatures.has(feature) ? `this processor has no ${feature}` : undefined);
  testUnless(reason, test, `InstructionEmulator: ${name} and its kin do what the CPU does`, () => {
    const random = randomFrom(1 + index);
    const codes = assemble(texts, 64);
    const runs = texts.flatMap((text, i) =>
      Array.from({ length: ROUNDS }, () => ({
        text,
        code: codes[i] as Uint8Array,
        before: randomState(random, text),
      })),
    );
    const expected = runNatively(runs);
    const machine = new EmulatedMachine();
    machine.map(CODE, CODE_PHYSICAL);
    machine.map(DATA, DATA_PHYSICAL);
    machine.map(DATA + 0x1000n, DATA_PHYSICAL + 0x1000);
    for (const [i, { text, code, before }] of runs.entries()) {
      const after = expected[i] as (typeof expected)[number];
      const got = emulate(machine, code, before);
      const title = `${text}, run ${i}`;
      assert.is(machine.injected === undefined, after.signal === SIGTRAP, `${title}: fault`);
      if (after.signal !== SIGTRAP) {
        assert.equal(got.registers, [...before.registers], `${title}: registers after a fault`);
        continue;
      }
      assert.is.not(got.name, undefined, `${title}: completed`);
      assert.equal(got.registers, [...after.registers], `${title}: registers`);
      assert.is(got.rflags & flags, after.rflags & flags, `${title}: flags`);
      assertSame(got.data, after.data, `${title}: memory`);
      assertSame(normalized(got.area), normalized(after.area), `${title}: vector state`);
    }
    machine.free();
  });
}

test.run();
