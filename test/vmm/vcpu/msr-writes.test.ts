import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MSR_LSTAR } from '../../../vmm/arch/x86_64/system-call-entry.ts';
import { kvmRun } from '../../../vmm/kvm/layouts.ts';
import { gpa } from '../../../vmm/memory/address.ts';
import { MsrWrites } from '../../../vmm/vcpu/msr-writes.ts';
import { EmulatedMachine } from '../arch/x86_64/emulate/emulated-machine.ts';

const MSR_STAR = 0xc0000081;
const ENTRY = 0xffff_ffff_8140_0040n;
const pages = { code: gpa(0xa0000), table: gpa(0xa1000) };

const test = suite('MsrWrites', { machine: undefined as unknown as EmulatedMachine });
test.before.each(context => {
  context.machine = new EmulatedMachine();
});
test.after.each(({ machine }) => machine.free());

/** A vCPU that takes these MSRs, and whose guest has written `index`: write() answers what the guest is told. */
function vcpuWith(machine: EmulatedMachine, known: readonly number[]) {
  const shared = new DataView(new ArrayBuffer(kvmRun.size));
  const run = kvmRun.at(shared.buffer);
  const taken: { index: number; data: bigint }[] = [];
  const warnings: string[] = [];
  const setMsrs = (values: readonly { index: number; data: bigint }[]): number => {
    const fitting = values.filter(({ index }) => known.includes(index));
    taken.push(...fitting);
    return fitting.length;
  };
  const writes = new MsrWrites({ shared, setMsrs }, machine.memory, pages, text => warnings.push(text));
  const write = (index: number, data: bigint): number => {
    run['msr.index'] = index;
    run['msr.data'] = data;
    run['msr.error'] = 0xff;
    writes.complete();
    return run['msr.error'];
  };
  return { sregs: run['s.regs.sregs'], taken, warnings, write };
}

test('complete(): the processor gets what it takes, and the guest an error for the rest', ({ machine }) => {
  const { write, taken } = vcpuWith(machine, [MSR_STAR]);
  assert.is(write(MSR_STAR, 5n), 0);
  assert.is(write(0x1234, 6n), 1);
  assert.equal(taken, [{ index: MSR_STAR, data: 5n }]);
});

test('complete(): a kernel whose system calls cannot be led to it is warned of once', ({ machine }) => {
  const { write, warnings, sregs } = vcpuWith(machine, [MSR_LSTAR, MSR_STAR]);
  Object.assign(sregs, { cr0: machine.sregs.cr0, cr3: machine.sregs.cr3, cr4: machine.sregs.cr4 });
  sregs.efer = machine.sregs.efer;
  assert.is(write(MSR_STAR, ENTRY), 0);
  assert.is(warnings.length, 0);
  // There is no IDT.
  assert.is(write(MSR_LSTAR, ENTRY), 0);
  assert.is(write(MSR_LSTAR, ENTRY), 0);
  assert.is(warnings.length, 1);
  assert.match(warnings[0] ?? '', /system calls/);
});

test.run();
