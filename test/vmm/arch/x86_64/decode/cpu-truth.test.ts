/**
 * The decoder against the CPU: each store form runs on write-protected pages with its operand before, across and after a
 * page boundary. Pages that the CPU wanted to write must be exactly those that the decoder names.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Gpr, Segment } from '../../../../../vmm/arch/x86_64/decode/cpu-context.ts';
import { OperandFlag } from '../../../../../vmm/arch/x86_64/decode/memory-operands.ts';
import { OperandDecoder } from '../../../../../vmm/arch/x86_64/decode/operand-decoder.ts';
import { assemble } from './assemble.ts';
import { CALL_TARGET, CODE, type CpuRequest, cpuFeatures, DATA, runOnCpu, SIGTRAP } from './cpu-harness.ts';
import { flatCpu, type Range, rangesOf, setWord } from './ranges.ts';
import {
  bitOffsetForms,
  cacheLineForms,
  operandForms,
  popForms,
  rdiForms,
  type StoreForm,
  scatterForms,
  stackForms,
  tileForms,
} from './store-forms.ts';
import { CPU_VECTOR_LAYOUT, vectorArea } from './vector-area.ts';

const PAGE = 4096n;
const BOUNDARY = DATA + 32n * PAGE;
const RFLAGS_RESERVED = 2n;
const DIRECTION = 0x400n;

const addresses: Record<32 | 64, readonly string[]> = {
  64: [
    ...['(%rdi)', '0x40(%rdi)', '0x1(%rdi)', '-0x80(%rdi,%rsi,4)', '0x12345(%rdi,%r14,8)', '(%r13,%rdi)'],
    ...['(%edi)', '%gs:(%rdi)'],
  ],
  32: ['(%edi)', '0x40(%edi)', '-0x80(%edi,%esi,4)', '0x12345(%esi,%edi,1)'],
};

/** An instruction to run: `pivot` is the register that moves its operand. */
interface Subject {
  readonly form: StoreForm;
  readonly text: string;
  readonly mode: 32 | 64;
  readonly pivot: number;
  readonly rflags: bigint;
}

/** A subject with its operand in one place. */
interface Run extends CpuRequest {
  readonly title: string;
  readonly superset: boolean;
}

const runsHere = (mode: 32 | 64) => (form: StoreForm) =>
  !form.privileged &&
  (form.feature === undefined || cpuFeatures.has(form.feature)) &&
  (form.only === undefined || form.only === mode) &&
  (mode === 64 || !/%r/.test(form.assembly));

function subjects(
  forms: readonly StoreForm[],
  { memory, pivot, rflags = RFLAGS_RESERVED }: { memory?: Subject['text']; pivot: number; rflags?: bigint },
): Subject[] {
  return ([64, 32] as const).flatMap(mode => {
    const places =
      memory === undefined ? addresses[mode] : [mode === 64 ? memory : memory.replace('%r', '%e')];
    return forms.filter(runsHere(mode)).flatMap(form =>
      (form.assembly.includes('{m}') ? places : ['']).map(place => ({
        form,
        text: form.assembly.replace('{m}', place),
        mode,
        pivot,
        rflags: RFLAGS_RESERVED | rflags,
      })),
    );
  });
}

function startRegisters({ text, mode }: Subject): bigint[] {
  const registers = Array.from({ length: 16 }, (_, i) => BigInt(i));
  const set = (register: number, value: bigint) => {
    registers[register] = BigInt.asUintN(mode, value);
  };
  set(Gpr.RAX, CALL_TARGET);
  set(Gpr.RCX, 5n);
  set(Gpr.RDX, 37n);
  set(Gpr.RBX, text.startsWith('movdir64b') ? DATA : -0x1234n);
  set(Gpr.RSP, DATA + 60n * PAGE);
  set(Gpr.RBP, DATA + 0x100n);
  set(Gpr.RSI, text.includes('movs') && !text.includes('(') ? DATA + 8n * PAGE : 8n);
  set(Gpr.RDI, BOUNDARY);
  return registers;
}

const decoders = { 32: new OperandDecoder(flatCpu(32)), 64: new OperandDecoder(flatCpu(64)) };

/** What the decoder says is written; registers as the CPU has them. */
function decodeWrites({ code, mode, rflags, gsBase }: CpuRequest, registers: readonly bigint[]): Range[] {
  const decoder = decoders[mode];
  for (const [i, value] of registers.slice(0, 16).entries()) setWord(decoder.context.registers, i, value);
  setWord(decoder.context.registers, Gpr.RIP, CODE);
  setWord(decoder.context.segmentBases, Segment.GS, gsBase);
  decoder.context.descending = (rflags & DIRECTION) !== 0n;
  decoder.decode(code, 15);
  const operands = decoder.addVectorIndexed(vectorArea, CPU_VECTOR_LAYOUT);
  assert.is(operands.flags & OperandFlag.UNKNOWN, 0, `${Buffer.from(code).toString('hex')} is known`);
  return rangesOf(operands).filter(({ write }) => write);
}

const pagesOf = (ranges: readonly Range[]): bigint[] => {
  const pages = new Set<bigint>();
  for (const { start, bytes } of ranges)
    for (let page = start / PAGE; page <= (start + BigInt(bytes) - 1n) / PAGE; page++) pages.add(page);
  return [...pages].sort();
};

/** The operand right before the page boundary, over it by its first and last parts, and right behind it. */
function* placements(subject: Subject, code: Uint8Array): Generator<Run> {
  const registers = startRegisters(subject);
  const gsBase = subject.text.includes('%gs:') ? 0x3000n : 0n;
  const request = { code, mode: subject.mode, registers, rflags: subject.rflags, gsBase };
  const [first] = decodeWrites(request, registers);
  assert.ok(first !== undefined, `${subject.text} writes`);
  const bytes = BigInt(first.bytes);
  const step = BigInt(subject.form.alignment);
  const starts = [BOUNDARY - bytes, BOUNDARY];
  if (bytes > step) starts.push(BOUNDARY - bytes + step, BOUNDARY - step);
  for (const start of starts) {
    const moved = [...registers];
    moved[subject.pivot] = (registers[subject.pivot] as bigint) + start - first.start;
    const title = `${subject.text} (${subject.mode}-bit) from ${start - BOUNDARY}`;
    yield { ...request, registers: moved, title, superset: subject.form.superset };
  }
}

function placeAll(all: readonly Subject[]): Run[] {
  return ([64, 32] as const).flatMap(mode => {
    const some = all.filter(subject => subject.mode === mode);
    const codes = assemble(
      some.map(({ text }) => text),
      mode,
    );
    return some.flatMap((subject, i) => [...placements(subject, codes[i] as Uint8Array)]);
  });
}

/** Runs all of them and compares. Straight-line instructions must also have the length that the decoder says. */
function compareWithCpu(runs: readonly Run[], straight = true): void {
  const responses = runOnCpu(runs);
  runs.forEach((run, i) => {
    const { signal, rip, faults } = responses[i] as (typeof responses)[number];
    assert.is(signal, SIGTRAP, `${run.title} goes through`);
    const expected = pagesOf(decodeWrites(run, run.registers));
    if (straight)
      assert.is(Number(rip - 1n - CODE), decoders[run.mode].operands.length, `length of ${run.title}`);
    const written = [...new Set(faults.map(({ address }) => address / PAGE))].sort();
    if (!run.superset) assert.equal(written, expected, `pages of ${run.title}`);
    for (const { address, registers } of faults) {
      const ranges = decodeWrites(run, registers);
      assert.ok(
        ranges.some(({ start, bytes }) => address >= start && address < start + BigInt(bytes)),
        `${run.title} wrote 0x${address.toString(16)}`,
      );
    }
  });
}

test('OperandDecoder: what ModRM names is written as by the CPU', () => {
  const runs = placeAll(subjects(operandForms, { pivot: Gpr.RDI }));
  assert.ok(runs.length > 10_000, 'any 64-bit CPU has that many');
  compareWithCpu(runs);
});

test('OperandDecoder: bit offsets in registers lead where the CPU goes', () => {
  compareWithCpu(placeAll(subjects(bitOffsetForms, { pivot: Gpr.RDI })));
});

test('OperandDecoder: string instructions write what the CPU writes, upwards and downwards', () => {
  for (const rflags of [0n, DIRECTION])
    compareWithCpu(placeAll(subjects(rdiForms, { pivot: Gpr.RDI, rflags })));
});

test('OperandDecoder: pushes and calls write what the CPU writes', () => {
  const [calls, pushes] = [true, false].map(call =>
    subjects(stackForms, { pivot: Gpr.RSP }).filter(({ text }) => text.startsWith('call') === call),
  );
  compareWithCpu(placeAll(pushes ?? []));
  compareWithCpu(placeAll(calls ?? []), false);
});

test('OperandDecoder: pops to memory use the stack pointer as the CPU does', () => {
  compareWithCpu(placeAll(subjects(popForms, { memory: '(%rdi)', pivot: Gpr.RDI })));
  compareWithCpu(placeAll(subjects(popForms, { memory: '0x40(%rsp)', pivot: Gpr.RSP })));
});

test('OperandDecoder: scatters, tiles and direct stores write what the CPU writes', () => {
  for (const forms of [scatterForms, tileForms, cacheLineForms])
    compareWithCpu(placeAll(subjects(forms, { pivot: Gpr.RDI })));
});

test('OperandDecoder: a repeated string instruction faults in its first page each time', () => {
  const subject = subjects(
    rdiForms.filter(({ assembly }) => assembly === 'rep stosq'),
    { pivot: Gpr.RDI },
  )[0] as Subject;
  // 16 000 bytes from a page boundary upwards, and from the first eight bytes behind it downwards.
  for (const [direction, pageCount] of [
    [0n, 4],
    [DIRECTION, 5],
  ] as const) {
    const rflags = RFLAGS_RESERVED | direction;
    const registers = startRegisters(subject);
    registers[Gpr.RCX] = 2000n;
    const [code = new Uint8Array()] = assemble([subject.text], 64);
    const request = { code, mode: 64 as const, registers, rflags, gsBase: 0n };
    const [response] = runOnCpu([request]);
    assert.is(response?.faults.length, pageCount);
    for (const fault of response?.faults ?? []) {
      const [range] = decodeWrites(request, fault.registers);
      assert.ok(range !== undefined);
      const next = range.descending ? range.start + BigInt(range.bytes) - 1n : range.start;
      assert.is(fault.address / PAGE, next / PAGE);
    }
  }
});

test.run();
