import { InstructionEmulator } from '../arch/x86_64/emulate/emulator.ts';
import type { XsaveLayout } from '../arch/x86_64/emulate/xsave-layout.ts';
import type { SystemCallPages } from '../arch/x86_64/system-call-entry.ts';
import { kvmRun } from '../kvm/layouts.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { SharedLock } from '../shared/lock.ts';
import { MsrWrites } from './msr-writes.ts';

/** What all vCPUs of a VM share to complete instructions. */
export interface CompletionSetup {
  /** One word, a lock: instructions that must exclude each other. */
  readonly lock: SharedArrayBuffer;
  readonly xsave: XsaveLayout;
  readonly systemCallPages: SystemCallPages;
}

/** For one vCPU, on a host whose KVM works in software. */
export function createCompletion(
  { lock, xsave, systemCallPages }: CompletionSetup,
  vcpu: Vcpu,
  memory: GuestMemory,
  warn: (message: string) => void,
): { emulator: InstructionEmulator; msrWrites: MsrWrites } {
  const run = kvmRun.at(vcpu.shared.buffer, vcpu.shared.byteOffset);
  const emulator = new InstructionEmulator({
    vcpu,
    memory,
    xsave,
    exclusion: new SharedLock(new Int32Array(lock), 0),
    regs: run['s.regs.regs'],
    sregs: run['s.regs.sregs'],
  });
  return { emulator, msrWrites: new MsrWrites(vcpu, memory, systemCallPages, warn) };
}
