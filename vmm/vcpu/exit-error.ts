import { type ErrorCode, TsvmmError } from '../errors.ts';
import { errno } from '../ffi/errno.ts';
import { ExitReason, InternalError } from '../kvm/constants.ts';
import { kvmRun } from '../kvm/layouts.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import { gpa } from '../memory/address.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';

const INSTRUCTION_BYTES = 15;
const EMULATION_BYTES_VALID = 1;
const CRASH_HINT = 'an exception came while the guest had no working handler; look at its last console lines';
const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const exitNames = new Map<number, string>(Object.entries(ExitReason).map(([name, number]) => [number, name]));
const errnoNames = new Map<number, string>(Object.entries(errno).map(([name, number]) => [number, name]));

/** Why the guest cannot go on after KVM_RUN answered `result`: with registers and the bytes at rip. */
export function exitError(vcpu: Vcpu, memory: GuestMemory, result: number): TsvmmError {
  const run = kvmRun.at(vcpu.shared.buffer, vcpu.shared.byteOffset);
  const state = describeVcpu(vcpu, memory);
  const at = `vCPU ${vcpu.id} at rip ${state.rip}`;
  const details = { vcpu: vcpu.id, ...state };
  const error = (code: ErrorCode, message: string, hint: string) =>
    new TsvmmError(code, `${message} (instruction bytes: ${state.instruction || 'unreadable'})`, {
      hint,
      details,
    });

  if (result < 0) {
    const name = errnoNames.get(-result) ?? `errno ${-result}`;
    return error(
      'TSVMM_E_KVM_EXIT',
      `KVM_RUN failed with ${name}, ${at}`,
      'this is a bug of tsvmm or of the host',
    );
  }
  switch (run.exit_reason) {
    case ExitReason.SHUTDOWN:
      if (isReset(vcpu)) return unplacedCrash(vcpu.id);
      return error('TSVMM_E_GUEST_CRASH', `the guest triple-faulted, ${at}`, CRASH_HINT);
    case ExitReason.INTERNAL_ERROR:
      if (run['internal.suberror'] !== InternalError.EMULATION) break;
      return error(
        'TSVMM_E_EMULATION',
        `this host's KVM cannot execute an instruction of the guest, ${at}`,
        'a software KVM emulates kernel code and knows few instructions; use hardware KVM, or a guest built for it',
      );
    case ExitReason.FAIL_ENTRY: {
      const reason = hex(run['fail_entry.hardware_entry_failure_reason']);
      return error(
        'TSVMM_E_KVM_EXIT',
        `the processor refused to enter the guest (${reason}), ${at}`,
        'report this',
      );
    }
  }
  const name = exitNames.get(run.exit_reason) ?? `exit reason ${run.exit_reason}`;
  const suberror = run.exit_reason === ExitReason.INTERNAL_ERROR ? ` ${run['internal.suberror']}` : '';
  return error(
    'TSVMM_E_KVM_EXIT',
    `KVM stopped the guest: ${name}${suberror}, ${at}`,
    'report this with the registers',
  );
}

/** Where a processor begins (SDM vol. 3A, "First Instruction Executed"): no guest of ours runs from there, below 4 GiB is no RAM. */
function isReset(vcpu: Vcpu): boolean {
  return vcpu.get('regs').rip === 0xfff0n && vcpu.get('sregs').cs.base === 0xffff_0000n;
}

/** What the vCPU was doing is in no register any more. */
const unplacedCrash = (vcpu: number): TsvmmError =>
  new TsvmmError(
    'TSVMM_E_GUEST_CRASH',
    `the guest triple-faulted, vCPU ${vcpu}; KVM has reset it, as it does on AMD processors, so nobody knows where`,
    { hint: CRASH_HINT, details: { vcpu } },
  );

/** Registers and instruction bytes, for messages; whatever cannot be read is left out. */
function describeVcpu(vcpu: Vcpu, memory: GuestMemory) {
  const regs = vcpu.get('regs');
  const sregs = vcpu.get('sregs');
  const names = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rsp', 'rbp', 'rflags'] as const;
  const extended = ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;
  return {
    rip: hex(regs.rip),
    instruction: instructionBytes(vcpu, memory, sregs.cs.base + regs.rip),
    ...Object.fromEntries([...names, ...extended].map(name => [name, hex(regs[name])])),
    cs: hex(sregs.cs.selector),
    cpl: sregs.ss.dpl,
    cr0: hex(sregs.cr0),
    cr2: hex(sregs.cr2),
    cr3: hex(sregs.cr3),
    cr4: hex(sregs.cr4),
    efer: hex(sregs.efer),
  };
}

function instructionBytes(vcpu: Vcpu, memory: GuestMemory, linear: bigint): string {
  const run = kvmRun.at(vcpu.shared.buffer, vcpu.shared.byteOffset);
  const emulation = run.exit_reason === ExitReason.INTERNAL_ERROR && run['internal.suberror'] === 1;
  const size = run['emulation_failure.insn_size'];
  if (emulation && (run['emulation_failure.flags'] & EMULATION_BYTES_VALID) !== 0 && size > 0) {
    return toHex(run['emulation_failure.insn_bytes'].subarray(0, size));
  }
  const physical = vcpu.translate(linear);
  if (physical === undefined) return '';
  // Up to the end of the page: the next one may lie anywhere.
  const length = Math.min(INSTRUCTION_BYTES, 4096 - (physical % 4096));
  if (!memory.contains(gpa(physical), length)) return '';
  const bytes = new Uint8Array(length);
  memory.copyOut(gpa(physical), bytes);
  return toHex(bytes);
}

const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(' ');
