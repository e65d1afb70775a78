import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CandidateKind } from '../../../../vmm/arch/x86_64/candidate-list.ts';
import { OperandFlag } from '../../../../vmm/arch/x86_64/decode/memory-operands.ts';
import { FaultCandidates } from '../../../../vmm/arch/x86_64/fault-candidates.ts';
import { kvmRegs, kvmSregs } from '../../../../vmm/kvm/layouts.ts';
import { type Gpa, gpa, MIB } from '../../../../vmm/memory/address.ts';
import { assemble } from './decode/assemble.ts';
import { CPU_VECTOR_LAYOUT, vectorArea } from './decode/vector-area.ts';
import { FakeMemory } from './fake-memory.ts';

const { OPERAND, TABLE, STACK, DESCRIPTOR, DELIVERY_TABLE } = CandidateKind;

const CODE = 0xffff_ffff_8100_0000n;
const DATA = 0xffff_8881_0000_0000n;
const STACK_TOP = 0xffff_c900_0000_4000n;
const GDT = 0xffff_fe00_0000_1000n;
const TSS = 0xffff_fe00_0000_3000n;
const IDT = 0xffff_fe00_0000_0000n;
const ENTRY_STACK_TOP = 0xffff_fe00_0000_6000n;
const IST_STACK_TOP = 0xffff_fe00_0000_9000n;
const USER_STACK_TOP = 0x7ffe_0000_0000n;

/** Where the pages are in guest-physical memory. */
const at = {
  code: 0x10_0000,
  data: 0x11_0000,
  stack: 0x12_0000,
  gdt: 0x13_0000,
  tss: 0x13_1000,
  idt: 0x13_2000,
  entryStack: 0x13_3000,
  istStack: 0x13_4000,
  userStack: 0x14_0000,
};

/** A vCPU in 64-bit mode at CPL 0 or 3, with memory laid out as Linux does. */
class LongGuest {
  readonly memory = new FakeMemory(4 * MIB, 0x20_0000);
  readonly regs = kvmRegs.allocate();
  readonly sregs = kvmSregs.allocate();
  readonly root = this.memory.table();
  readonly candidates = new FaultCandidates(this.memory, this.regs, this.sregs);

  constructor({ cpl = 0 } = {}) {
    const { regs, sregs } = this;
    for (let page = 0; page < 24; page++) {
      this.map(CODE + BigInt(page * 4096), at.code + page * 4096);
      this.map(DATA + BigInt(page * 4096), at.data + page * 4096);
    }
    this.map(STACK_TOP - 4096n, at.stack + 4096);
    this.map(STACK_TOP - 8192n, at.stack);
    this.map(GDT, at.gdt);
    this.map(TSS, at.tss);
    this.map(IDT, at.idt);
    this.map(ENTRY_STACK_TOP - 4096n, at.entryStack);
    this.map(IST_STACK_TOP - 4096n, at.istStack);
    this.map(USER_STACK_TOP - 4096n, at.userStack);
    this.memory.view.setBigUint64(at.tss + 4, ENTRY_STACK_TOP, true);
    this.memory.view.setBigUint64(at.tss + 36, IST_STACK_TOP, true);
    Object.assign(sregs, { cr0: 0x8000_0001n, cr3: BigInt(this.root), cr4: 0x20n, efer: 0x500n });
    Object.assign(sregs.cs, { l: 1, dpl: cpl });
    Object.assign(sregs.ss, { db: 1, dpl: cpl });
    Object.assign(sregs.gdt, { base: GDT, limit: 127 });
    Object.assign(sregs.idt, { base: IDT, limit: 4095 });
    Object.assign(sregs.tr, { base: TSS, limit: 103, type: 11 });
    Object.assign(regs, { rip: CODE, rsp: STACK_TOP, rflags: 2n });
  }

  map(linear: bigint, physical: number): Gpa[] {
    return this.memory.map(this.root, 4, linear, BigInt(physical));
  }

  /** Puts an instruction at RIP. */
  run(assembly: string, registers: Partial<Record<keyof typeof kvmRegs.fields, bigint>> = {}): this {
    const [code = new Uint8Array()] = assemble([assembly], 64);
    Object.assign(this.regs, registers);
    this.memory.bytes.set(code, at.code + Number(this.regs.rip - CODE));
    return this;
  }

  /** The tables that translate an address, from the leaf up. */
  tables(linear: bigint): number[] {
    return this.memory.tablesOf(this.root, 4, linear).reverse();
  }
}

/** What was found: pages by kind, in order. */
function found({ list }: FaultCandidates, ...kinds: number[]): number[] {
  return [...list.pages.subarray(0, list.count)].filter((_, i) => kinds.includes(list.kinds[i] as number));
}

test('FaultCandidates.collectInstruction: the written page comes first, then the tables of all that is accessed', () => {
  const { candidates, ...guest } = new LongGuest().run('movq %rax, 8(%rdi)', { rdi: DATA + 0x2000n });
  candidates.collectInstruction();
  assert.is(candidates.flags, 0);
  assert.is(candidates.list.pages[0], at.data + 0x2000);
  assert.equal(found(candidates, OPERAND), [at.data + 0x2000]);
  const { memory, root } = guest;
  const tables = new Set([CODE, DATA].flatMap(linear => memory.tablesOf(root, 4, linear)));
  assert.equal(new Set(found(candidates, TABLE)), tables);
  assert.is(candidates.list.count, 1 + tables.size, 'nothing twice');
});

test('FaultCandidates.collectInstruction: an operand over a page boundary has both pages', () => {
  const { candidates } = new LongGuest().run('vmovups %zmm0, (%rdi)', { rdi: DATA + 0x1fe0n });
  candidates.collectInstruction();
  assert.equal(found(candidates, OPERAND), [at.data + 0x1000, at.data + 0x2000]);
});

test('FaultCandidates.collectInstruction: memory that is only read counts by its tables', () => {
  const guest = new LongGuest().run('pushq (%rdi)', { rdi: DATA, rsp: STACK_TOP - 4096n });
  guest.candidates.collectInstruction();
  assert.equal(found(guest.candidates, OPERAND), [at.stack]);
  for (const table of guest.tables(DATA)) assert.ok(found(guest.candidates, TABLE).includes(table));
});

test('FaultCandidates.collectInstruction: an instruction over a page boundary is read from both pages', () => {
  const guest = new LongGuest();
  guest.map(CODE + 0x1000n, at.userStack);
  const [code = new Uint8Array()] = assemble(['movl $0x11223344, 0x55(%rdi)'], 64);
  guest.memory.bytes.set(code.subarray(0, 3), at.code + 0xffd);
  guest.memory.bytes.set(code.subarray(3, 15), at.userStack);
  Object.assign(guest.regs, { rip: CODE + 0xffdn, rdi: DATA });
  guest.candidates.collectInstruction();
  assert.is(guest.candidates.flags, 0);
  assert.equal(found(guest.candidates, OPERAND), [at.data]);
});

test('FaultCandidates.collectInstruction: a repeated string gives the next pages, in its direction', () => {
  const guest = new LongGuest().run('rep stosq', { rdi: DATA + 0x2ff8n, rcx: 600n });
  guest.candidates.collectInstruction();
  assert.equal(
    found(guest.candidates, OPERAND).map(page => page - at.data),
    [0x2000, 0x3000, 0x4000],
  );
  guest.regs.rflags = 0x402n;
  guest.candidates.collectInstruction();
  assert.equal(
    found(guest.candidates, OPERAND).map(page => page - at.data),
    [0x2000, 0x1000],
  );
  guest.regs.rcx = 1n << 60n;
  guest.candidates.collectInstruction();
  assert.equal(
    found(guest.candidates, OPERAND).map(page => page - at.data),
    [0x2000, 0x1000, 0],
    'however large the count is; what is not mapped is left out',
  );
});

test('FaultCandidates.collectInstruction: devices are no candidates', () => {
  const guest = new LongGuest().run('movl %eax, (%rdi)', { rdi: DATA + 0x20_0000n });
  guest.map(DATA + 0x20_0000n, 0xfee0_0000);
  guest.candidates.collectInstruction();
  assert.equal(found(guest.candidates, OPERAND), []);
  assert.is(guest.candidates.flags, 0);
});

test('FaultCandidates.collectInstruction: where the code cannot be read, that is said', () => {
  const { candidates, regs, memory, root } = new LongGuest();
  regs.rip = CODE + 0x10_0000n;
  candidates.collectInstruction();
  assert.ok((candidates.flags & OperandFlag.UNKNOWN) !== 0);
  assert.ok((candidates.flags & OperandFlag.TRUNCATED) !== 0);
  assert.equal(new Set(found(candidates, TABLE)), new Set(memory.tablesOf(root, 4, CODE + 0x10_0000n)));
});

test('FaultCandidates.collectInstruction: shadow stacks make every list incomplete', () => {
  const guest = new LongGuest().run('movq %rax, (%rdi)', { rdi: DATA });
  guest.sregs.cr4 = 0x80_0020n;
  guest.candidates.collectInstruction();
  assert.is(guest.candidates.flags, OperandFlag.INCOMPLETE);
  assert.equal(found(guest.candidates, OPERAND), [at.data]);
});

test('FaultCandidates.collectVectorIndexed: scattered elements become candidates', () => {
  const guest = new LongGuest().run('vpscatterdd %zmm1, (%rdi,%zmm4,8){%k1}', { rdi: DATA });
  guest.candidates.collectInstruction();
  assert.equal(found(guest.candidates, OPERAND), []);
  assert.ok((guest.candidates.flags & OperandFlag.VECTOR_INDEX) !== 0);
  guest.candidates.collectVectorIndexed(vectorArea, CPU_VECTOR_LAYOUT);
  assert.equal(found(guest.candidates, OPERAND), [at.data, at.data + 0x1000]);
  assert.is(guest.candidates.flags, 0);
});

test('FaultCandidates.collectDelivery: from user mode, the stacks that the TSS names, then this one', () => {
  const guest = new LongGuest({ cpl: 3 }).run('nop', { rsp: USER_STACK_TOP });
  guest.candidates.collectInstruction();
  guest.candidates.collectDelivery();
  assert.equal(found(guest.candidates, STACK), [at.entryStack, at.istStack, at.userStack]);
  assert.equal(found(guest.candidates, DESCRIPTOR), [at.gdt]);
  for (const linear of [IDT, GDT, TSS, ENTRY_STACK_TOP - 8n])
    for (const table of guest.tables(linear))
      assert.ok(found(guest.candidates, TABLE, DELIVERY_TABLE).includes(table), linear.toString(16));
});

test('FaultCandidates.collectDelivery: from the kernel, this stack first, and both pages at a boundary', () => {
  const guest = new LongGuest().run('nop', { rsp: STACK_TOP - 4096n + 0x18n });
  guest.candidates.collectInstruction();
  guest.candidates.collectDelivery();
  assert.equal(found(guest.candidates, STACK).slice(0, 2), [at.stack + 4096, at.stack]);
});

test('FaultCandidates: 32-bit mode without paging, with segments and a TSS', () => {
  const memory = new FakeMemory(4 * MIB, 0);
  const regs = kvmRegs.allocate();
  const sregs = kvmSregs.allocate();
  const candidates = new FaultCandidates(memory, regs, sregs);
  sregs.cr0 = 1n;
  Object.assign(sregs.cs, { db: 1, base: 0x1_0000n, dpl: 3 });
  Object.assign(sregs.ss, { db: 1, base: 0x2_0000n, dpl: 3 });
  Object.assign(sregs.ds, { db: 1, base: 0x3_0000n });
  Object.assign(sregs.tr, { base: 0x4_0000n, limit: 103, type: 11 });
  Object.assign(sregs.gdt, { base: 0x5_0000n, limit: 63 });
  memory.view.setUint32(0x4_0000 + 4, 0x1000, true);
  memory.view.setUint16(0x4_0000 + 8, 0x10, true);
  // A descriptor with the base 0x60000.
  memory.view.setUint32(0x5_0000 + 0x10 + 2, 0x6_0000, true);
  memory.bytes.set(assemble(['pushl 4(%ebx)'], 32)[0]?.subarray(0, 15) ?? [], 0x1_0123);
  Object.assign(regs, { rip: 0x123n, rbx: 0x10n, rsp: 0x800n });
  candidates.collectInstruction();
  assert.equal(found(candidates, OPERAND), [0x2_0000]);
  candidates.collectDelivery();
  assert.equal(found(candidates, STACK), [0x6_0000], 'the present stack is in the list already');
  assert.equal(found(candidates, DESCRIPTOR), [0x5_0000, 0x4_0000]);
});

test('FaultCandidates: real mode', () => {
  const memory = new FakeMemory(4 * MIB, 0);
  const regs = kvmRegs.allocate();
  const sregs = kvmSregs.allocate();
  const candidates = new FaultCandidates(memory, regs, sregs);
  sregs.cs.base = 0xf_0000n;
  sregs.es.base = 0x2_0000n;
  memory.bytes.set(assemble(['stosw'], 16)[0]?.subarray(0, 15) ?? [], 0xf_fff0);
  Object.assign(regs, { rip: 0xfff0n, rdi: 0xffff_1234n });
  candidates.collectInstruction();
  assert.equal(found(candidates, OPERAND), [0x2_1000]);
});

test('FaultCandidates: whatever registers and memory hold, the list is of RAM and bounded', () => {
  const { memory, regs, sregs, candidates } = new LongGuest();
  let seed = 7;
  const random = () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0;
    return seed;
  };
  for (let at = 0; at < memory.bytes.length; at += 4) memory.view.setInt32(at, random() & ~0x80, true);
  for (let round = 0; round < 20_000; round++) {
    for (const { bytes } of [regs, sregs]) for (let i = 0; i < bytes.length; i++) bytes[i] = random() >> 16;
    candidates.collectInstruction();
    candidates.collectDelivery();
    assert.ok(candidates.list.count <= candidates.list.pages.length);
    for (const page of candidates.list.pages.subarray(0, candidates.list.count))
      assert.ok(
        page >= 0 && page < memory.bytes.length && page % 4096 === 0 && memory.contains(gpa(page), 1),
      );
  }
});

test('FaultCandidates: allocates nothing', () => {
  const guest = new LongGuest().run('movq %rax, 8(%rdi)', { rdi: DATA + 0x2000n });
  const collectMany = (times: number) => {
    for (let i = 0; i < times; i++) {
      guest.candidates.collectInstruction();
      guest.candidates.collectDelivery();
    }
  };
  collectMany(20_000);
  const before = process.memoryUsage().heapUsed;
  collectMany(50_000);
  assert.ok((process.memoryUsage().heapUsed - before) / 50_000 < 32);
});

test.run();
