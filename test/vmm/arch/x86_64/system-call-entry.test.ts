import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SystemCallEntry, systemCallCode } from '../../../../vmm/arch/x86_64/system-call-entry.ts';
import { gpa } from '../../../../vmm/memory/address.ts';
import { EmulatedMachine } from './emulate/emulated-machine.ts';

const IDT = 0xffff_ffff_8200_0000n;
const IDT_PHYSICAL = 0x10_0000;
const GATE = IDT_PHYSICAL + 14 * 16;
const HANDLER = 0xffff_ffff_8140_0a30n;
const LSTAR = 0xffff_ffff_8140_0040n;
const DETOUR = 0xffff_ffff_ffe0_0000n;
const pages = { code: gpa(0xa0000), table: gpa(0xa1000) };

const test = suite<{ machine: EmulatedMachine; entry: SystemCallEntry }>('SystemCallEntry');

test.before.each(context => {
  const machine = new EmulatedMachine();
  machine.map(IDT, IDT_PHYSICAL);
  // Linux has its fixmap in the last gigabyte.
  machine.map(0xffff_ffff_ff5f_0000n, 0x11_0000);
  machine.sregs.idt.base = IDT;
  machine.sregs.idt.limit = 0xfff;
  machine.memory.copyIn(gpa(GATE), gate(HANDLER));
  Object.assign(context, { machine, entry: new SystemCallEntry(machine.memory, pages) });
});
test.after.each(({ machine }) => machine.free());

function gate(handler: bigint): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint16(0, Number(handler & 0xffffn), true);
  view.setUint16(2, 0x10, true);
  view.setUint16(4, 0x8e00, true);
  view.setUint16(6, Number((handler >> 16n) & 0xffffn), true);
  view.setUint32(8, Number(handler >> 32n), true);
  return new Uint8Array(view.buffer);
}

function bytesAt(machine: EmulatedMachine, at: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  machine.memory.copyOut(gpa(at), bytes);
  return bytes;
}

test('install(): the page-fault gate leads to the detour, which is mapped for the kernel only', ({
  machine,
  entry,
}) => {
  assert.is(entry.install(machine.sregs, LSTAR), true);
  assert.equal(bytesAt(machine, GATE, 16), gate(DETOUR));
  const mapped = machine.entryOf(DETOUR);
  assert.is(mapped - (mapped % 0x1000), pages.code);
  assert.is(mapped % 8, 1, 'present, read-only, supervisor');
  const code = systemCallCode(LSTAR, HANDLER) as Uint8Array;
  assert.equal(bytesAt(machine, pages.code, code.length), code);
});

test('install(): once is enough, for all vCPUs', ({ machine, entry }) => {
  entry.install(machine.sregs, LSTAR);
  const code = bytesAt(machine, pages.code, 64);
  assert.is(entry.install(machine.sregs, LSTAR), true);
  assert.equal(bytesAt(machine, pages.code, 64), code);
});

test('install(): where something is mapped already, the guest is left as it was', ({ machine, entry }) => {
  machine.map(DETOUR, 0x12_0000);
  assert.is(entry.install(machine.sregs, LSTAR), false);
  assert.equal(bytesAt(machine, GATE, 16), gate(HANDLER));
});

test('install(): without an IDT, or outside of long mode, the guest is left as it was', ({
  machine,
  entry,
}) => {
  machine.sregs.idt.limit = 0;
  assert.is(entry.install(machine.sregs, LSTAR), false);
  machine.sregs.idt.limit = 0xfff;
  machine.sregs.idt.base = 0x1234_5000n;
  assert.is(entry.install(machine.sregs, LSTAR), false);
  machine.sregs.efer = 0n;
  assert.is(entry.install(machine.sregs, LSTAR), false);
});

test('systemCallCode(): branches lead to the handler and to the entry', () => {
  const code = systemCallCode(LSTAR, HANDLER) as Uint8Array;
  const view = new DataView(code.buffer);
  const target = (end: number): bigint =>
    BigInt.asUintN(64, DETOUR + BigInt(end) + BigInt(view.getInt32(end - 4, true)));
  assert.is(BigInt.asUintN(64, BigInt(view.getInt32(5, true))), LSTAR, 'cmpq');
  assert.is(target(15), HANDLER, 'jne');
  assert.is(target(26), HANDLER, 'jz');
  assert.is(target(code.length), LSTAR, 'jmp');
});

test('systemCallCode(): addresses out of reach of a near branch are refused', () => {
  assert.is(systemCallCode(0xffff_8000_0000_0000n, HANDLER), undefined);
  assert.is(systemCallCode(LSTAR, 0xffff_ffff_0000_0000n), undefined);
});

test.run();
