import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { gpa } from '../../../../../vmm/memory/address.ts';
import { EmulatedMachine, KERNEL_CS, Page } from './emulated-machine.ts';

const CODE = 0xffff_8000_0000_0000n;
const DATA = 0xffff_8000_0010_0000n;
const STACK = 0xffff_8000_0020_0000n;
const IDT = 0xffff_8000_0030_0000n;
const PHYSICAL = { code: 0x10_0000, data: 0x11_0000, stack: 0x12_0000, idt: 0x13_0000 };
const Flag = { TF: 0x100n, IF: 0x200n, RF: 0x1_0000n, AC: 0x4_0000n, ZF: 0x40n };
const CR4_SMAP = 1n << 21n;
const ACCESSED = 0x20;
const DIRTY = 0x40;

const test = suite<{ machine: EmulatedMachine }>('InstructionEmulator');

test.before.each(context => {
  const machine = new EmulatedMachine();
  machine.map(CODE, PHYSICAL.code);
  machine.map(DATA, PHYSICAL.data);
  machine.map(STACK, PHYSICAL.stack);
  machine.map(IDT, PHYSICAL.idt);
  machine.regs.rsp = STACK + 0xfffn;
  machine.regs.rdi = DATA;
  machine.sregs.idt.base = IDT;
  machine.sregs.idt.limit = 0xfff;
  context.machine = machine;
});
test.after.each(({ machine }) => machine.free());

function complete(machine: EmulatedMachine, ...code: number[]): string | undefined {
  machine.memory.copyIn(gpa(PHYSICAL.code), Uint8Array.from(code));
  machine.regs.rip = CODE;
  return machine.emulator.complete();
}

const xsave = [0x0f, 0xae, 0x27] as const; // xsave (%rdi)
const cmpxchg16b = [0xf0, 0x48, 0x0f, 0xc7, 0x0f] as const; // lock cmpxchg16b (%rdi)
const movdqu = [0xf3, 0x0f, 0x7f, 0x07] as const; // movdqu %xmm0, (%rdi)

test('clac and stac switch AC; RIP is behind the instruction and RF is clear', ({ machine }) => {
  machine.regs.rflags = 2n | Flag.RF;
  assert.is(complete(machine, 0x0f, 0x01, 0xcb), 'stac');
  assert.is(machine.regs.rflags, 2n | Flag.AC);
  assert.is(machine.regs.rip, CODE + 3n);
  assert.is(complete(machine, 0x0f, 0x01, 0xca), 'clac');
  assert.is(machine.regs.rflags, 2n);
});

test('what is not known, or not 64-bit kernel code, is left alone', ({ machine }) => {
  const before = machine.registers;
  assert.is(complete(machine, 0x0f, 0x0b), undefined, 'ud2');
  assert.is(complete(machine, 0x06), undefined, 'no instruction');
  assert.is(
    complete(machine, 0xf0, 0x0f, 0xc7, 0x0f),
    undefined,
    "lock cmpxchg8b (%rdi): KVM's own, and atomic",
  );
  assert.is(complete(machine, 0xc4, 0xe1, 0x7d, 0x6f, 0x07), undefined, 'vmovdqa (%rdi), %ymm0');
  machine.sregs.ss.dpl = 3;
  assert.is(complete(machine, 0x0f, 0x01, 0xcb), undefined, 'stac at CPL 3');
  machine.sregs.ss.dpl = 0;
  machine.sregs.cs.l = 0;
  machine.sregs.cs.db = 1;
  assert.is(complete(machine, 0x0f, 0x01, 0xcb), undefined, 'stac in 32-bit code');
  assert.equal(machine.registers, before);
  assert.equal(machine.calls, []);
  assert.is(machine.regs.rip, CODE);
});

test('a vector move to what is not RAM is not ours', ({ machine }) => {
  machine.map(DATA, 0xd000_0000);
  assert.is(complete(machine, ...movdqu), undefined);
  assert.is(machine.injected, undefined);
});

interface Denied {
  readonly rights: bigint;
  readonly code: readonly number[];
  readonly error: number;
  readonly smap?: boolean;
}

const faults: Record<string, Denied> = {
  'an absent page': { rights: Page.ABSENT, code: movdqu, error: 2 },
  'a read-only page': { rights: Page.READ_ONLY, code: movdqu, error: 3 },
  "a user's page under SMAP": { rights: Page.USER, code: movdqu, error: 3, smap: true },
  'a read-only page, though the comparison fails': { rights: Page.READ_ONLY, code: cmpxchg16b, error: 3 },
  'a read-only page, by xsave': { rights: Page.READ_ONLY, code: xsave, error: 3 },
};
for (const [name, { rights, code, error, smap = false }] of Object.entries(faults)) {
  test(`a write to ${name} is a page fault, and nothing has changed`, ({ machine }) => {
    machine.map(DATA, PHYSICAL.data, rights);
    if (smap) machine.sregs.cr4 |= CR4_SMAP;
    const before = machine.registers;
    assert.is.not(complete(machine, ...code), undefined);
    assert.equal(machine.injected, { vector: 14, errorCode: error });
    assert.is(machine.sregs.cr2, DATA);
    assert.equal(machine.registers, before);
    assert.is(machine.regs.rip, CODE);
    assert.not.ok(machine.calls.includes('xsave'));
    if (rights !== Page.ABSENT) assert.is(machine.entryOf(DATA) & DIRTY, 0);
  });
}

test('AC lets the kernel write under SMAP, and a clear CR0.WP where it may only read', ({ machine }) => {
  machine.map(DATA, PHYSICAL.data, Page.USER);
  machine.sregs.cr4 |= CR4_SMAP;
  machine.regs.rflags |= Flag.AC;
  assert.is(complete(machine, ...movdqu), 'movdqu');
  machine.map(DATA, PHYSICAL.data, Page.READ_ONLY);
  machine.sregs.cr0 &= ~0x1_0000n;
  assert.is(complete(machine, ...movdqu), 'movdqu');
  assert.is(machine.injected, undefined);
});

test('reads mark pages accessed, writes mark them dirty too', ({ machine }) => {
  complete(machine, 0xf3, 0x0f, 0x6f, 0x07); // movdqu (%rdi), %xmm0
  assert.is(machine.entryOf(DATA) & (ACCESSED | DIRTY), ACCESSED);
  complete(machine, ...movdqu);
  assert.is(machine.entryOf(DATA) & (ACCESSED | DIRTY), ACCESSED | DIRTY);
});

test('an operand over two pages faults before its first byte is written', ({ machine }) => {
  machine.regs.rdi = DATA + 0xff8n;
  machine.area.fill(0xaa, 160, 176);
  machine.area[512] = 2;
  complete(machine, ...movdqu);
  assert.equal(machine.injected, { vector: 14, errorCode: 2 });
  assert.is(machine.sregs.cr2, DATA + 0x1000n);
  assert.is(machine.memory.readU64(gpa(PHYSICAL.data + 0xff8)), 0);
});

test('addresses that are not canonical: #GP, or #SS on the stack', ({ machine }) => {
  machine.regs.rdi = 0x8000_0000_0000n;
  complete(machine, ...movdqu);
  assert.equal(machine.injected, { vector: 13, errorCode: 0 });
  machine.regs.rsp = 0x8000_0000_0000n;
  complete(machine, 0xf3, 0x0f, 0x7f, 0x04, 0x24); // movdqu %xmm0, (%rsp)
  assert.equal(machine.injected, { vector: 12, errorCode: 0 });
});

test('misaligned operands of movdqa, cmpxchg16b and xsave: #GP', ({ machine }) => {
  machine.regs.rdi = DATA + 8n;
  for (const code of [[0x66, 0x0f, 0x7f, 0x07], cmpxchg16b, xsave]) {
    machine.events.bytes.fill(0);
    complete(machine, ...code);
    assert.equal(machine.injected, { vector: 13, errorCode: 0 });
  }
});

test('without CR4.OSFXSR #UD, with CR0.TS #NM', ({ machine }) => {
  machine.sregs.cr4 &= ~0x200n;
  complete(machine, ...movdqu);
  assert.equal(machine.injected, { vector: 6, errorCode: undefined });
  machine.sregs.cr4 |= 0x200n;
  machine.sregs.cr0 |= 8n;
  complete(machine, ...movdqu);
  assert.equal(machine.injected, { vector: 7, errorCode: undefined });
});

test('xrstor refuses a header with bits that are not there: #GP', ({ machine }) => {
  const xrstor = [0x0f, 0xae, 0x2f];
  machine.regs.rax = 7n;
  for (const [at, value] of [
    [512, 1 << 18],
    [520, 1],
    [528, 1],
    [24, 0xffff_0000],
  ] as const) {
    machine.events.bytes.fill(0);
    machine.memory.copyIn(gpa(PHYSICAL.data), new Uint8Array(4096));
    machine.memory.writeU32(gpa(PHYSICAL.data + at), value);
    complete(machine, ...xrstor);
    assert.equal(machine.injected, { vector: 13, errorCode: 0 }, `byte ${at}`);
  }
  assert.not.ok(machine.calls.includes('xsave'));
});

test('xsaves and xrstors bring vector registers to memory and back', ({ machine }) => {
  machine.regs.rax = 7n;
  machine.area.fill(0x5a, 160, 416);
  machine.area.fill(0xa5, 576, 832);
  machine.area[512] = 6;
  assert.is(complete(machine, 0x48, 0x0f, 0xc7, 0x2f), 'xsaves');
  machine.area.fill(0);
  assert.is(complete(machine, 0x48, 0x0f, 0xc7, 0x1f), 'xrstors');
  assert.is(machine.area[512], 6);
  assert.ok(machine.area.subarray(160, 416).every(byte => byte === 0x5a));
  assert.ok(machine.area.subarray(576, 832).every(byte => byte === 0xa5));
});

/** Puts the gate of vector 3 into the IDT. */
function setBreakpointGate(machine: EmulatedMachine, handler: bigint, { type = 0xe, stack = 0 } = {}): void {
  const gate = new DataView(new ArrayBuffer(16));
  gate.setUint16(0, Number(handler & 0xffffn), true);
  gate.setUint16(2, KERNEL_CS, true);
  gate.setUint16(4, 0x8000 | (type << 8) | stack, true);
  gate.setUint16(6, Number((handler >> 16n) & 0xffffn), true);
  gate.setUint32(8, Number(handler >> 32n), true);
  machine.memory.copyIn(gpa(PHYSICAL.idt + 3 * 16), new Uint8Array(gate.buffer));
}

function frame(machine: EmulatedMachine, at: bigint): bigint[] {
  const bytes = new Uint8Array(40);
  machine.memory.copyOut(gpa(PHYSICAL.stack + Number(at - STACK)), bytes);
  return [...new BigUint64Array(bytes.buffer)];
}

test('int3 enters its handler with a frame on the aligned stack', ({ machine }) => {
  setBreakpointGate(machine, 0xffff_ffff_8123_4567n);
  machine.regs.rflags = 2n | Flag.IF | Flag.ZF;
  machine.sregs.ss.selector = 0x18;
  assert.is(complete(machine, 0xcc), 'int3');
  assert.is(machine.regs.rip, 0xffff_ffff_8123_4567n);
  assert.is(machine.regs.rsp, STACK + 0xff0n - 40n);
  assert.equal(frame(machine, machine.regs.rsp), [
    CODE + 1n,
    BigInt(KERNEL_CS),
    2n | Flag.IF | Flag.ZF,
    STACK + 0xfffn,
    0x18n,
  ]);
  assert.is(machine.regs.rflags, 2n | Flag.ZF, 'an interrupt gate clears IF');
  assert.equal(machine.calls, [], 'it is delivered, not left pending');
});

test('a step over an instruction: #DB behind it, with DR6.BS', ({ machine }) => {
  machine.debugregs.dr6 = 0xffff_0ff3n;
  machine.debugregs.dr7 = 0x2400n;
  machine.regs.rflags = 2n | Flag.TF;
  assert.is(complete(machine, 0x0f, 0x01, 0xcb), 'stac');
  assert.equal(machine.injected, { vector: 1, errorCode: undefined });
  assert.is(machine.regs.rip, CODE + 3n);
  assert.is(machine.regs.rflags, 2n | Flag.TF | Flag.AC, 'delivery clears TF, not the instruction');
  assert.is(machine.debugregs.dr6, 0xffff_4ff0n);
  assert.is(machine.debugregs.dr7, 0x400n);
  assert.equal(machine.calls, ['debugregs', 'events']);
});

test('an instruction that faults is not stepped over, nor is int3', ({ machine }) => {
  machine.regs.rflags = 2n | Flag.TF;
  machine.map(DATA, PHYSICAL.data, Page.READ_ONLY);
  complete(machine, ...movdqu);
  assert.equal(machine.injected, { vector: 14, errorCode: 3 });
  machine.events.bytes.fill(0);
  setBreakpointGate(machine, CODE);
  assert.is(complete(machine, 0xcc), 'int3');
  assert.is(machine.injected, undefined);
  assert.not.ok(machine.calls.includes('debugregs'));
});

test('int3 takes the stack that its gate names, and a trap gate leaves IF', ({ machine }) => {
  const TSS = DATA;
  machine.sregs.tr.base = TSS;
  machine.memory.copyIn(
    gpa(PHYSICAL.data + 36 + 8),
    new Uint8Array(new BigUint64Array([STACK + 0x800n]).buffer),
  );
  setBreakpointGate(machine, CODE, { type: 0xf, stack: 2 });
  machine.regs.rflags = 2n | Flag.IF;
  assert.is(complete(machine, 0xcc), 'int3');
  assert.is(machine.regs.rsp, STACK + 0x800n - 40n);
  assert.is(machine.regs.rflags, 2n | Flag.IF);
});

test('int3 without a usable gate is not ours', ({ machine }) => {
  machine.sregs.idt.limit = 0x2f;
  assert.is(complete(machine, 0xcc), undefined);
  machine.sregs.idt.limit = 0xfff;
  assert.is(complete(machine, 0xcc), undefined, 'its gate is not present');
});

test('bases of FS and GS', ({ machine }) => {
  machine.msrs.set(0xc0000101, 0x1111n);
  machine.msrs.set(0xc0000102, 0x2222n);
  assert.is(complete(machine, 0x0f, 0x01, 0xf8), 'swapgs');
  assert.is(machine.msrs.get(0xc0000101), 0x2222n);
  assert.is(machine.msrs.get(0xc0000102), 0x1111n);
  machine.regs.rax = 0xffff_8888_0000_1234n;
  assert.is(complete(machine, 0xf3, 0x48, 0x0f, 0xae, 0xd0), 'wrfsbase');
  assert.is(machine.msrs.get(0xc0000100), 0xffff_8888_0000_1234n);
  assert.is(complete(machine, 0xf3, 0x0f, 0xae, 0xc3), 'rdfsbase');
  assert.is(machine.regs.rbx, 0x1234n, '32 bits of it');
  machine.regs.rax = 0x8000_0000_0000_1234n;
  complete(machine, 0xf3, 0x48, 0x0f, 0xae, 0xd8); // wrgsbase %rax
  assert.equal(machine.injected, { vector: 13, errorCode: 0 });
});

test('rdrand: a number, CF set and the other flags clear', ({ machine }) => {
  machine.regs.rflags = 2n | Flag.ZF;
  assert.is(complete(machine, 0x48, 0x0f, 0xc7, 0xf3), 'rdrand');
  assert.is(machine.regs.rflags, 3n);
  const first = machine.regs.rbx;
  complete(machine, 0x48, 0x0f, 0xc7, 0xf3);
  assert.is.not(machine.regs.rbx, first);
});

test('F3 makes other instructions of rdrand and rdseed; 66 makes them narrow', ({ machine }) => {
  machine.msrs.set(0xc0000103, 5n);
  machine.regs.rflags = 2n | Flag.ZF;
  assert.is(complete(machine, 0xf3, 0x0f, 0xc7, 0xf8), 'rdpid');
  assert.is(machine.regs.rax, 5n);
  assert.is(machine.regs.rflags, 2n | Flag.ZF);
  assert.is(complete(machine, 0xf3, 0x0f, 0xc7, 0xf0), undefined, 'senduipi %rax');
  machine.regs.rbx = 0x1_0000n;
  assert.is(complete(machine, 0x66, 0x0f, 0xc7, 0xfb), 'rdseed');
  assert.is(machine.regs.rbx >> 16n, 1n);
});

test('xsetbv sets what KVM accepts', ({ machine }) => {
  machine.regs.rax = 7n;
  machine.regs.rcx = 0n;
  assert.is(complete(machine, 0x0f, 0x01, 0xd1), 'xsetbv');
  assert.equal(machine.calls, ['xcrs']);
  machine.regs.rcx = 1n;
  complete(machine, 0x0f, 0x01, 0xd1);
  assert.equal(machine.injected, { vector: 13, errorCode: 0 });
});

test('invpcid changes CR3 and changes it back, for KVM to forget translations', ({ machine }) => {
  const { cr3 } = machine.sregs;
  machine.regs.rax = 2n;
  assert.is(complete(machine, 0x66, 0x0f, 0x38, 0x82, 0x07), 'invpcid');
  assert.equal(machine.calls, ['sregs', 'sregs']);
  assert.is(machine.sregs.cr3, cr3);
  machine.regs.rax = 4n;
  complete(machine, 0x66, 0x0f, 0x38, 0x82, 0x07);
  assert.equal(machine.injected, { vector: 13, errorCode: 0 });
});

test('fwait reports a pending x87 error', ({ machine }) => {
  machine.area[2] = 0x80;
  machine.area[512] = 1;
  assert.is(complete(machine, 0x9b), 'fwait');
  assert.equal(machine.injected, { vector: 16, errorCode: undefined });
});

test.run();
