import type { InstructionEmulator } from '../arch/x86_64/emulate/emulator.ts';
import { SyncRegs } from '../kvm/constants.ts';
import { kvmRun } from '../kvm/layouts.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import type { VcpuControlBlock } from './control-block.ts';
import type { FaultResolver } from './fault-resolver.ts';

/**
 * Makes progress after KVM could not execute an instruction (KVM_INTERNAL_ERROR_EMULATION). There are two reasons, told
 * apart here and nowhere else:
 *
 * 1. KVM does not know the instruction. If we do, it is completed; its writes pass the guard of guest memory, so it
 *    does not matter whether a snapshot is being saved.
 * 2. KVM knows it, but it was a locked operation on RAM that a snapshot has write-protected. The protection is lifted,
 *    and KVM tries again.
 */
export class EmulationFailures {
  private readonly run: DataView;
  private readonly control: VcpuControlBlock;
  private readonly emulator: InstructionEmulator | undefined;
  private readonly faults: FaultResolver;

  /** Without an emulator, on hosts that execute everything, only the second reason is left. */
  constructor(
    vcpu: Vcpu,
    control: VcpuControlBlock,
    emulator: InstructionEmulator | undefined,
    faults: FaultResolver,
  ) {
    this.run = vcpu.shared;
    this.control = control;
    this.emulator = emulator;
    this.faults = faults;
  }

  /** True when the vCPU may enter the guest again; false when nobody knows the instruction. */
  resolve(): boolean {
    const completed = this.emulator?.complete() !== undefined;
    if (completed) this.control.countEmulated();
    if (!completed && !this.faults.resolve()) return false;
    // KVM takes the registers that an instruction has changed, and forgets the #UD that it has queued besides the exit.
    const dirty = kvmRun.offsets.kvm_dirty_regs;
    this.run.setUint32(dirty, this.run.getUint32(dirty, true) | SyncRegs.REGS, true);
    return true;
  }
}
