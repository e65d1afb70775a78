import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type CpuContext,
  Gpr,
  LARGEST_XSAVE_AREA,
  Segment,
} from '../../../../../vmm/arch/x86_64/decode/cpu-context.ts';
import { type MemoryOperands, OperandFlag } from '../../../../../vmm/arch/x86_64/decode/memory-operands.ts';
import { OperandDecoder } from '../../../../../vmm/arch/x86_64/decode/operand-decoder.ts';
import { assemble } from './assemble.ts';
import { flatCpu, setWord, textOf } from './ranges.ts';
import { CPU_VECTOR_LAYOUT, vectorArea } from './vector-area.ts';

const { UNKNOWN, INCOMPLETE, TRUNCATED, DESCRIPTOR, VECTOR_INDEX } = OperandFlag;

function decode(assembly: string, context: CpuContext): MemoryOperands {
  const [code = new Uint8Array()] = assemble([assembly], context.codeBits);
  return new OperandDecoder(context).decode(code, 15);
}

function decodeHex(hex: string, context = flatCpu(64)): MemoryOperands {
  const bytes = Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  return new OperandDecoder(context).decode(bytes, bytes.length);
}

test('OperandDecoder.decode: addresses of the kernel half have all of their 64 bits', () => {
  const cpu = flatCpu(64, { [Gpr.RAX]: 0xffff_8881_ffff_fff0n, [Gpr.RCX]: 0x10n });
  assert.equal(textOf(decode('movq %rbx, 8(%rax,%rcx,2)', cpu)), ['ffff888200000018+8w']);
  assert.equal(textOf(decode('movq %rbx, -0x20(%rax)', cpu)), ['ffff8881ffffffd0+8w']);
});

test('OperandDecoder.decode: RIP-relative addresses count from the end of the instruction', () => {
  const cpu = flatCpu(64, { [Gpr.RIP]: 0xffff_ffff_8100_0000n });
  const operands = decode('movl $5, 0x100(%rip)', cpu);
  assert.is(operands.length, 10);
  assert.equal(textOf(operands), ['ffffffff8100010a+4w']);
});

test('OperandDecoder.decode: 67 makes the address 32 bits wide before the segment base is added', () => {
  const cpu = flatCpu(64, { [Gpr.RDI]: 0x1_ffff_ff00n, [Gpr.RSI]: 0x200n });
  setWord(cpu.segmentBases, Segment.FS, 0x7f00_0000_1000n);
  assert.equal(textOf(decode('movb %al, %fs:(%edi,%esi)', cpu)), ['7f0000001100+1w']);
});

test('OperandDecoder.decode: in 64-bit mode only FS and GS have bases', () => {
  const cpu = flatCpu(64, { [Gpr.RDI]: 0x1000n });
  for (const segment of [Segment.ES, Segment.CS, Segment.SS, Segment.DS])
    setWord(cpu.segmentBases, segment, 0x5_0000n);
  assert.equal(textOf(decode('stosb', cpu)), ['1000+1w']);
  assert.equal(textOf(decodeHex('36 88 07', cpu)), ['1000+1w'], 'an SS prefix is ignored');
});

test('OperandDecoder.decode: 32-bit addresses use the default segment of their base and wrap at 4 GiB', () => {
  const cpu = flatCpu(32, { [Gpr.RBP]: 0x1000n, [Gpr.RBX]: 0x2000n, [Gpr.RSP]: 0x8000n });
  setWord(cpu.segmentBases, Segment.SS, 0x10_0000n);
  setWord(cpu.segmentBases, Segment.DS, 0xffff_f000n);
  assert.equal(textOf(decode('movl %eax, 4(%ebp)', cpu)), ['101004+4w']);
  assert.equal(textOf(decode('movl %eax, 4(%ebx)', cpu)), ['1004+4w']);
  assert.equal(textOf(decode('movl %eax, %ds:4(%ebp)', cpu)), ['4+4w']);
  assert.equal(textOf(decode('pushl (%ebx)', cpu)), ['1000+4r', '107ffc+4w']);
});

test('OperandDecoder.decode: 16-bit addresses wrap at 64 KiB, one operand does not, pushes may or may not', () => {
  const cpu = flatCpu(16, { [Gpr.RBX]: 0xfff0n, [Gpr.RSI]: 0x20n, [Gpr.RBP]: 0x100n, [Gpr.RSP]: 1n });
  setWord(cpu.segmentBases, Segment.DS, 0x2_0000n);
  setWord(cpu.segmentBases, Segment.SS, 0x5_0000n);
  assert.equal(textOf(decode('movw %ax, 4(%bx,%si)', cpu)), ['20014+2w']);
  assert.equal(textOf(decode('movw %ax, (%bp)', cpu)), ['50100+2w']);
  assert.equal(textOf(decode('movl %eax, 0xd(%bx)', cpu)), ['2fffd+4w']);
  assert.equal(textOf(decode('pushw %ax', cpu)), ['5ffff+2w', '50000+1w']);
});

test('OperandDecoder.decode: absolute addresses of MOV have the width of addresses', () => {
  assert.equal(textOf(decode('movabs %eax, 0x1122334455667788', flatCpu(64))), ['1122334455667788+4w']);
  assert.equal(textOf(decodeHex('67 a2 f0ffffff')), ['fffffff0+1w']);
  assert.equal(textOf(decodeHex('a3 34 f2', flatCpu(16))), ['f234+2w']);
});

test('OperandDecoder.decode: a repeated string covers all that is left of it', () => {
  const cpu = flatCpu(64, { [Gpr.RCX]: 0x300n, [Gpr.RDI]: 0x1_0000_0000n, [Gpr.RSI]: 0x5000n });
  assert.equal(textOf(decode('rep movsq', cpu)), ['100000000+6144w', '5000+6144r']);
  cpu.descending = true;
  assert.equal(textOf(decode('rep movsq', cpu)), ['ffffe808+6144w-', '3808+6144r-']);
  assert.equal(textOf(decode('stosl', cpu)), ['100000000+4w-']);
});

test('OperandDecoder.decode: a string that repeats zero times accesses nothing', () => {
  const cpu = flatCpu(64, { [Gpr.RCX]: 0x1_0000_0000n, [Gpr.RDI]: 0x1000n });
  assert.is(decode('addr32 rep stosb', cpu).count, 0, 'ECX counts, not RCX');
  assert.equal(textOf(decode('rep stosb', cpu)), ['1000+4294967295w'], 'bounded, however large RCX is');
});

test('OperandDecoder.decode: a repeated string wraps where its addresses do', () => {
  const cpu = flatCpu(16, { [Gpr.RCX]: 0x20n, [Gpr.RDI]: 0xfff0n });
  setWord(cpu.segmentBases, Segment.ES, 0x3_0000n);
  assert.equal(textOf(decode('rep stosw', cpu)), ['3fff0+23w', '30000+48w']);
  cpu.descending = true;
  setWord(cpu.registers, Gpr.RDI, 0x10n);
  assert.equal(textOf(decode('rep stosw', cpu)), ['3ffd2+53w-', '30000+18w-']);
});

test('OperandDecoder.decode: pushes, calls and frames lie below the stack pointer', () => {
  const cpu = flatCpu(64, { [Gpr.RSP]: 0x8007n, [Gpr.RAX]: 0x1000n, [Gpr.RBP]: 0x9000n });
  assert.equal(textOf(decode('push %rbx', cpu)), ['7fff+8w']);
  assert.equal(textOf(decode('pushw (%rsp)', cpu)), ['8007+2r', '8005+2w']);
  assert.equal(textOf(decode('call *(%rax)', cpu)), ['1000+8r', '7fff+8w']);
  assert.equal(textOf(decode('enter $0x2000, $3', cpu)), ['7fe7+32w', '5fe7+8w', '8ff0+16r']);
  assert.equal(textOf(decode('int3', cpu)), ['7fd0+48w']);
  assert.equal(textOf(decode('leave', cpu)), ['9000+8r']);
  assert.equal(textOf(decode('popq 8(%rsp)', cpu)), ['8017+8w', '8007+8r']);
});

test('OperandDecoder.decode: bit offsets reach in both directions', () => {
  const cpu = flatCpu(64, { [Gpr.RDI]: 0x10000n, [Gpr.RCX]: -1n, [Gpr.RDX]: 0x1_0000_0040n });
  assert.equal(textOf(decode('btsq %rcx, (%rdi)', cpu)), ['fff8+8w']);
  assert.equal(textOf(decode('btrl %ecx, (%rdi)', cpu)), ['fffc+4w']);
  assert.equal(textOf(decode('btcw %cx, (%rdi)', cpu)), ['fffe+2w']);
  assert.equal(textOf(decode('btsq %rdx, (%rdi)', cpu)), ['20010008+8w']);
  assert.equal(textOf(decode('btl %edx, (%rdi)', cpu)), ['10008+4r']);
});

test('OperandDecoder.decode: XSAVE covers the area that the context says', () => {
  const cpu = flatCpu(64, { [Gpr.RDI]: 0x1000n });
  assert.equal(textOf(decode('xsave (%rdi)', cpu)), [`1000+${LARGEST_XSAVE_AREA}w`]);
  cpu.xsaveLength = 832;
  assert.equal(textOf(decode('xsavec (%rdi)', cpu)), ['1000+832w']);
});

test('OperandDecoder.decode: EVEX displacements are scaled by the operand, or by the element of a broadcast', () => {
  const cpu = flatCpu(64, { [Gpr.RDI]: 0x1000n });
  assert.equal(textOf(decode('vmovups %zmm0, 0x40(%rdi)', cpu)), ['1040+64w']);
  assert.equal(textOf(decode('vpmovqb %zmm0, 8(%rdi)', cpu)), ['1008+8w']);
  assert.equal(textOf(decode('vaddps 4(%rdi){1to16}, %zmm0, %zmm1', cpu)), ['1004+4r']);
  assert.equal(textOf(decode('vcompresspd %zmm0, 8(%rdi){%k1}', cpu)), ['1008+64w']);
});

test('OperandDecoder.decode: gathers and scatters are incomplete until the vector registers are known', () => {
  const decoder = new OperandDecoder(flatCpu(64, { [Gpr.RDI]: 0x1000n }));
  const [code = new Uint8Array()] = assemble(['vpscatterqd %ymm1, 4(%rdi,%zmm20,2){%k1}'], 64);
  const operands = decoder.decode(code, 15);
  assert.is(operands.flags, VECTOR_INDEX | INCOMPLETE);
  decoder.addVectorIndexed(vectorArea, CPU_VECTOR_LAYOUT);
  assert.is(operands.flags, 0);
  const expected = Array.from({ length: 8 }, (_, i) => `${(0x1004 + 128 * i).toString(16)}+4w`);
  assert.equal(textOf(operands), expected);
});

test('OperandDecoder.decode: a tile is written in rows', () => {
  const cpu = flatCpu(64, { [Gpr.RDI]: 0x1000n, [Gpr.RSI]: -0x100n });
  const rows = textOf(decode('tilestored %tmm0, (%rdi,%rsi,2)', cpu));
  assert.is(rows.length, 16);
  assert.equal(rows.slice(0, 3), ['1000+64w', 'e00+64w', 'c00+64w']);
});

test('OperandDecoder.decode: forming an address is no access', () => {
  const cpu = flatCpu(64);
  for (const text of ['lea (%rdi), %rax', 'nopl (%rdi)', 'prefetcht0 (%rdi)', 'invlpg (%rdi)', 'endbr64'])
    assert.is(decode(text, cpu).count, 0, text);
});

test('OperandDecoder.decode: what loads a descriptor says so', () => {
  const cpu = flatCpu(64);
  for (const text of ['ltr %ax', 'lldt %ax', 'mov %eax, %ds', 'pop %fs', 'lretq', 'iretq', 'int $3'])
    assert.ok((decode(text, cpu).flags & DESCRIPTOR) !== 0, text);
  assert.is(decode('mov %ds, %eax', cpu).flags, 0);
});

test('OperandDecoder.decode: what is no known instruction is unknown, never harmless', () => {
  assert.is(decodeHex('0f 04').flags, UNKNOWN | INCOMPLETE, 'no such opcode');
  assert.is(decodeHex('62 f4 7c 08 00 00').flags, UNKNOWN | INCOMPLETE, 'APX');
  assert.is(decodeHex('d5 00 01 00').flags, UNKNOWN | INCOMPLETE, 'REX2');
  assert.is(decodeHex('66 c5 f8 11 00').flags, UNKNOWN | INCOMPLETE, 'a prefix before VEX');
  assert.is(decodeHex('0f 2b c0').flags, UNKNOWN | INCOMPLETE, 'MOVNTPS to a register');
  assert.is(decodeHex(`${'66'.repeat(15)} 90`).flags, UNKNOWN | INCOMPLETE, 'longer than 15 bytes');
});

test('OperandDecoder.decode: an instruction whose end is missing is truncated', () => {
  for (const hex of ['48', '48 c7', '48 c7 05 00 00 00 00 01 02 03', 'c5 f8', '62 f1 7c 48 11 40'])
    assert.is(decodeHex(hex).flags, UNKNOWN | INCOMPLETE | TRUNCATED, hex);
  assert.is(new OperandDecoder(flatCpu(64)).decode(new Uint8Array(15), 0).flags & TRUNCATED, TRUNCATED);
});

test('OperandDecoder.decode: C4, C5 and 62 are LES, LDS and BOUND where there are no vector prefixes', () => {
  const cpu = flatCpu(32, { [Gpr.RBX]: 0x1000n });
  assert.equal(textOf(decodeHex('c4 03', cpu)), ['1000+6r']);
  assert.equal(textOf(decodeHex('62 03', cpu)), ['1000+8r']);
  assert.equal(textOf(decodeHex('c5 f8 11 03', cpu)), ['1000+16w']);
  cpu.vectorPrefixes = false;
  assert.is(decodeHex('c5 f8 11 03', cpu).flags, UNKNOWN | INCOMPLETE, 'real mode');
});

test('OperandDecoder.decode: whatever the bytes are, it ends, in bounds', () => {
  let seed = 1;
  const random = () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) | 0;
    return (seed >>> 16) & 0xff;
  };
  for (const bits of [16, 32, 64] as const) {
    const decoder = new OperandDecoder(flatCpu(bits, { [Gpr.RCX]: -1n, [Gpr.RDI]: -1n }));
    for (let i = 0; i < 200_000; i++) {
      const bytes = Uint8Array.from({ length: 15 }, random);
      const { length, flags, count } = decoder.decode(bytes, 15);
      assert.ok(length <= 15 && count <= 20);
      assert.is(length === 0, (flags & UNKNOWN) !== 0);
    }
  }
});

test('OperandDecoder.decode: allocates nothing', () => {
  const cpu = flatCpu(64, { [Gpr.RDI]: 0xffff_8881_8000_1000n, [Gpr.RCX]: 100n });
  const decoder = new OperandDecoder(cpu);
  const codes = assemble(['movq %rax, 8(%rdi)', 'vmovups %zmm0, 64(%rdi)', 'push (%rdi)', 'rep movsq'], 64);
  const decodeMany = (times: number) => {
    for (let i = 0; i < times; i++) for (const code of codes) decoder.decode(code, 15);
  };
  decodeMany(20_000);
  const before = process.memoryUsage().heapUsed;
  decodeMany(100_000);
  const bytes = (process.memoryUsage().heapUsed - before) / (100_000 * codes.length);
  // Any object is at least 16 bytes; a range of 2^31 bytes or more may become a boxed number.
  assert.ok(bytes < 8, `${bytes} bytes an instruction`);
});

test.run();
