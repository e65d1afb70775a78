import type { ViewOf } from '../../../ffi/struct.ts';
import type { kvmRegs, kvmSregs } from '../../../kvm/layouts.ts';
import { LONGEST_INSTRUCTION } from '../decode/instruction.ts';
import { OperandFlag } from '../decode/memory-operands.ts';
import { OperandDecoder } from '../decode/operand-decoder.ts';
import { readLinear } from '../linear-memory.ts';
import { PageWalker } from '../page-walk.ts';
import { VcpuContext } from '../vcpu-context.ts';
import { EmulatedCpu, type EmulatedVcpu, type Exclusion, Flag } from './emulated-cpu.ts';
import { EncodingTable } from './encoding.ts';
import { GuestException, NotEmulated, Vector } from './exception.ts';
import { emulatedInstructions } from './families/index.ts';
import { type EmulatedMemory, LinearAccess } from './linear-access.ts';
import type { XsaveLayout } from './xsave-layout.ts';

export interface EmulatorParts {
  readonly vcpu: EmulatedVcpu;
  readonly memory: EmulatedMemory;
  readonly exclusion: Exclusion;
  readonly xsave: XsaveLayout;
  /** Up to date when complete() is called; those in kvm_run are. */
  readonly regs: ViewOf<typeof kvmRegs>;
  readonly sregs: ViewOf<typeof kvmSregs>;
}

/** Field of struct kvm_vcpu_events, `exception`: whether it is being injected, its vector, its error code. */
const Exception = { INJECTED: 0, NR: 1, HAS_ERROR_CODE: 2, ERROR_CODE: 4 } as const;

/** Of the debug registers, SDM vol. 3B, figure 17-1. */
const DR6_BREAKPOINTS = 0xfn;
const DR6_BS = 1n << 14n;
const DR6_NOT_RTM = 1n << 16n;
const DR7_GD = 1n << 13n;

const table = new EncodingTable(emulatedInstructions);

/**
 * Completes instructions of 64-bit kernel code that this host's KVM cannot execute (KVM_EXIT_INTERNAL_ERROR with
 * KVM_INTERNAL_ERROR_EMULATION): on a host without VT-x or AMD-V, KVM interprets all kernel code and knows few
 * instructions. Either an instruction is done entirely, with registers and memory, or it has faulted and nothing has
 * changed but the pending exception; a snapshot finds no state in between.
 */
export class InstructionEmulator {
  private readonly context: VcpuContext;
  private readonly decoder: OperandDecoder;
  private readonly walker: PageWalker;
  private readonly access: LinearAccess;
  private readonly cpu: EmulatedCpu;
  private readonly parts: EmulatorParts;
  private readonly code = new Uint8Array(LONGEST_INSTRUCTION + 1);
  private readonly codeView = new DataView(this.code.buffer);

  constructor(parts: EmulatorParts) {
    const { vcpu, memory, exclusion, xsave, regs, sregs } = parts;
    this.parts = parts;
    this.context = new VcpuContext(regs, sregs);
    this.decoder = new OperandDecoder(this.context.cpu);
    this.walker = new PageWalker(memory);
    this.access = new LinearAccess(memory);
    this.cpu = new EmulatedCpu({
      decoder: this.decoder,
      memory: this.access,
      vcpu,
      exclusion,
      xsave,
      regs,
      sregs,
    });
  }

  /**
   * Completes the instruction at RIP and answers its name, or undefined if it is none of ours; then nothing has
   * changed. The caller hands the registers back to KVM.
   */
  complete(): string | undefined {
    const { context, cpu, access, parts } = this;
    context.load();
    if (context.cpu.codeBits !== 64 || context.cpl !== 0) return undefined;
    const emulated = this.decode();
    if (emulated === undefined) return undefined;
    cpu.reset();
    access.paging.configure(context, cpu.rflags);
    const steps = (cpu.rflags & Flag.TF) !== 0;
    try {
      emulated.execute(cpu);
      cpu.vectors.commit();
    } catch (thrown) {
      if (thrown instanceof NotEmulated) return undefined;
      if (!(thrown instanceof GuestException)) throw thrown;
      inject(thrown, parts);
      return emulated.name;
    }
    cpu.rflags &= ~Flag.RF;
    // Who chose what comes next has entered a handler, which is not stepped through.
    if (!cpu.jumped) {
      cpu.jump(cpu.nextRip);
      if (steps) injectStep(parts);
    }
    return emulated.name;
  }

  private decode() {
    const { context, walker, decoder, code } = this;
    const { registers } = context.cpu;
    walker.configure(context.cr0, context.cr3Low, context.cr3High, context.cr4, context.efer);
    const ripLow = registers[2 * 16] as number;
    const ripHigh = registers[2 * 16 + 1] as number;
    const length = readLinear(
      this.parts.memory,
      walker,
      ripLow,
      ripHigh,
      LONGEST_INSTRUCTION,
      this.codeView,
      () => {},
    );
    const { flags } = decoder.decode(code, length);
    return (flags & OperandFlag.UNKNOWN) !== 0 ? undefined : table.find(decoder.instruction);
  }
}

/** Unlike a #BP, these are among the events that a snapshot keeps. */
function inject({ vector, errorCode, address }: GuestException, { vcpu, sregs }: EmulatorParts): void {
  if (address !== undefined) {
    sregs.cr2 = address;
    vcpu.set('sregs', sregs);
  }
  const events = vcpu.get('events');
  const exception = new DataView(events.exception.buffer, events.exception.byteOffset);
  exception.setUint8(Exception.INJECTED, 1);
  exception.setUint8(Exception.NR, vector);
  exception.setUint8(Exception.HAS_ERROR_CODE, errorCode === undefined ? 0 : 1);
  exception.setUint32(Exception.ERROR_CODE, errorCode ?? 0, true);
  vcpu.set('events', events);
}

/**
 * The #DB behind an instruction that began with TF set: SDM vol. 3B, section 17.3.1.4. KVM injects it and leaves the debug
 * registers to us: sections 17.2.3 (B0 to B3 may be cleared) and 17.2.4 (GD is).
 */
function injectStep(parts: EmulatorParts): void {
  const state = parts.vcpu.get('debugregs');
  state.dr6 = (state.dr6 & ~DR6_BREAKPOINTS) | DR6_BS | DR6_NOT_RTM;
  state.dr7 &= ~DR7_GD;
  parts.vcpu.set('debugregs', state);
  inject(new GuestException(Vector.DB), parts);
}
