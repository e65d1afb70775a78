import { Gpr } from '../../decode/cpu-context.ts';
import { type EmulatedCpu, Flag } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';
import { NotEmulated, Vector } from '../exception.ts';

/** SDM vol. 2, INT3. */
export const breakpointInstructions: readonly Emulated[] = [
  { encoding: 'CC', name: 'int3', execute: cpu => deliverTrap(cpu, Vector.BP) },
];

/** A gate of the 64-bit IDT: SDM vol. 3A, figure 6-8. */
const GATE_BYTES = 16;
const GATE_INTERRUPT = 14;
const GATE_TRAP = 15;

/**
 * Delivers a trap as SDM vol. 3A, section 6.14, says, for a kernel's own: the stack stays, unless its gate names
 * another. Asking KVM to inject it would do too, but KVM_GET_VCPU_EVENTS hides a pending #BP, so that a snapshot in
 * between would lose it; here it is done when the instruction is.
 */
function deliverTrap(cpu: EmulatedCpu, vector: number): void {
  const gate = readGate(cpu, vector);
  const { cs, ss, tr } = cpu.sregs;
  if (
    !gate.present ||
    (gate.type !== GATE_INTERRUPT && gate.type !== GATE_TRAP) ||
    gate.selector !== cs.selector
  )
    throw new NotEmulated('its gate is of a kind that is not known here');
  const present = cpu.register(Gpr.RSP);
  let top = present;
  if (gate.stack !== 0) {
    const pointer = new Uint8Array(8);
    // IST1 is at offset 36 of the TSS: section 8.7.
    cpu.memory.read(tr.base + BigInt(28 + 8 * gate.stack), pointer);
    top = new DataView(pointer.buffer).getBigUint64(0, true);
  }
  const frame = new BigUint64Array([
    cpu.nextRip,
    BigInt(cs.selector),
    BigInt(cpu.rflags >>> 0),
    present,
    BigInt(ss.selector),
  ]);
  const rsp = BigInt.asUintN(64, (top & ~15n) - BigInt(frame.byteLength));
  cpu.memory.write(rsp, new Uint8Array(frame.buffer), true);
  cpu.setRegister(Gpr.RSP, rsp);
  const cleared = Flag.TF | Flag.NT | Flag.RF | Flag.VM | (gate.type === GATE_INTERRUPT ? Flag.IF : 0);
  cpu.rflags &= ~cleared;
  cpu.jump(gate.offset);
}

function readGate(cpu: EmulatedCpu, vector: number) {
  const { base, limit } = cpu.sregs.idt;
  if (GATE_BYTES * vector + GATE_BYTES - 1 > limit) throw new NotEmulated('there is no gate for it');
  const bytes = new Uint8Array(GATE_BYTES);
  cpu.memory.read(base + BigInt(GATE_BYTES * vector), bytes);
  const view = new DataView(bytes.buffer);
  const attributes = view.getUint16(4, true);
  return {
    selector: view.getUint16(2, true),
    stack: attributes & 7,
    type: (attributes >> 8) & 0xf,
    present: (attributes & 0x8000) !== 0,
    offset:
      (BigInt(view.getUint32(8, true)) << 32n) |
      (BigInt(view.getUint16(6, true)) << 16n) |
      BigInt(view.getUint16(0, true)),
  };
}
