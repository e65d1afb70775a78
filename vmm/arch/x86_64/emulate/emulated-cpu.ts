import type { ViewOf } from '../../../ffi/struct.ts';
import { kvmRegs, type kvmSregs } from '../../../kvm/layouts.ts';
import type { Vcpu } from '../../../kvm/vcpu.ts';
import { Gpr, Segment } from '../decode/cpu-context.ts';
import { segmentOf } from '../decode/explicit-operand.ts';
import type { Instruction } from '../decode/instruction.ts';
import type { OperandDecoder } from '../decode/operand-decoder.ts';
import { registerOffsets } from '../vcpu-context.ts';
import { GuestException, Vector } from './exception.ts';
import type { LinearAccess } from './linear-access.ts';
import { VectorState } from './vector-state.ts';
import type { XsaveLayout } from './xsave-layout.ts';

/** RFLAGS, SDM vol. 1, section 3.4.3. */
export const Flag = {
  CF: 1 << 0,
  PF: 1 << 2,
  AF: 1 << 4,
  ZF: 1 << 6,
  SF: 1 << 7,
  TF: 1 << 8,
  IF: 1 << 9,
  OF: 1 << 11,
  NT: 1 << 14,
  RF: 1 << 16,
  VM: 1 << 17,
  AC: 1 << 18,
} as const;
export const ARITHMETIC_FLAGS = Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.OF;

/** Control register bits, SDM vol. 3A, section 2.5. */
const CR0_MP = 1 << 1;
const CR0_EM = 1 << 2;
const CR0_TS = 1 << 3;
const CR4_OSFXSR = 1 << 9;
const CR4_OSXSAVE = 1 << 18;

/** Of the byte registers without REX: AH. */
const FIRST_HIGH_BYTE = 4;

/** The vCPU's state that is not among its general and special registers. */
export type EmulatedVcpu = Pick<Vcpu, 'get' | 'getInto' | 'set' | 'getMsrs' | 'setMsrs'>;

/** Memory that the vCPUs of a VM share for instructions that must exclude each other. */
export interface Exclusion {
  acquire(): void;
  release(): void;
}

/** What an instruction that is being completed sees of the vCPU. BigInts are affordable: the exit took 60 us. */
export class EmulatedCpu {
  readonly instruction: Instruction;
  readonly memory: LinearAccess;
  readonly vectors: VectorState;
  readonly vcpu: EmulatedVcpu;
  readonly exclusion: Exclusion;
  readonly xsave: XsaveLayout;
  readonly sregs: ViewOf<typeof kvmSregs>;
  /** Set by an instruction that chooses what comes next. */
  jumped = false;
  private readonly operands: OperandDecoder['operands'];
  private readonly regs: DataView;

  constructor(parts: {
    decoder: OperandDecoder;
    memory: LinearAccess;
    vcpu: EmulatedVcpu;
    exclusion: Exclusion;
    xsave: XsaveLayout;
    regs: ViewOf<typeof kvmRegs>;
    sregs: ViewOf<typeof kvmSregs>;
  }) {
    this.instruction = parts.decoder.instruction;
    this.operands = parts.decoder.operands;
    this.memory = parts.memory;
    this.vcpu = parts.vcpu;
    this.exclusion = parts.exclusion;
    this.xsave = parts.xsave;
    this.sregs = parts.sregs;
    this.vectors = new VectorState(parts.vcpu);
    const { buffer, byteOffset, byteLength } = parts.regs.bytes;
    this.regs = new DataView(buffer, byteOffset, byteLength);
  }

  reset(): void {
    this.jumped = false;
    this.vectors.reset();
  }

  /** The low 32 bits of RFLAGS; the others are always 0. */
  get rflags(): number {
    return this.regs.getInt32(kvmRegs.offsets.rflags, true);
  }
  set rflags(value: number) {
    this.regs.setUint32(kvmRegs.offsets.rflags, value, true);
  }

  get rip(): bigint {
    return this.register(Gpr.RIP);
  }

  /** The instruction behind this one. */
  get nextRip(): bigint {
    return BigInt.asUintN(64, this.rip + BigInt(this.instruction.length));
  }

  jump(rip: bigint): void {
    this.setRegister(Gpr.RIP, rip);
    this.jumped = true;
  }

  /** All 64 bits; registers are numbered as in encodings. */
  register(number: number): bigint {
    return this.regs.getBigUint64(registerOffsets[number] as number, true);
  }

  setRegister(number: number, value: bigint): void {
    this.regs.setBigUint64(registerOffsets[number] as number, value, true);
  }

  /** Writes 2, 4 or 8 bytes: 4 clear the rest, 2 keep it (SDM vol. 1, section 3.4.1.1). */
  setRegisterPart(number: number, bytes: number, value: bigint): void {
    if (bytes === 2) this.setRegister(number, (this.register(number) & ~0xffffn) | (value & 0xffffn));
    else this.setRegister(number, BigInt.asUintN(8 * bytes, value));
  }

  /** EDX:EAX */
  get edxEax(): bigint {
    return ((this.register(Gpr.RDX) & 0xffff_ffffn) << 32n) | (this.register(Gpr.RAX) & 0xffff_ffffn);
  }
  set edxEax(value: bigint) {
    this.setRegister(Gpr.RAX, value & 0xffff_ffffn);
    this.setRegister(Gpr.RDX, (value >> 32n) & 0xffff_ffffn);
  }

  /** The linear address of the operand in memory. */
  get operandAddress(): bigint {
    return (BigInt(this.operands.high[0] as number) << 32n) | BigInt(this.operands.low[0] as number);
  }

  readMemory(bytes: number): Uint8Array {
    const value = new Uint8Array(bytes);
    this.memory.read(this.operandAddress, value, this.isOnStack);
    return value;
  }

  writeMemory(value: Uint8Array): void {
    this.memory.write(this.operandAddress, value, this.isOnStack);
  }

  /** The operand that ModRM.rm names, in a general register or in memory. */
  readOperand(bytes: number): bigint {
    const { mod, rm } = this.instruction;
    if (mod !== 3) return fromBytes(this.readMemory(bytes));
    return bytes === 1 ? this.byteRegister(rm) : BigInt.asUintN(8 * bytes, this.register(rm));
  }

  /** 2, 4 or 8 bytes, as no instruction writes a single one here. */
  writeOperand(bytes: number, value: bigint): void {
    const { mod, rm } = this.instruction;
    if (mod === 3) this.setRegisterPart(rm, bytes, value);
    else this.writeMemory(toBytes(value, bytes));
  }

  /** An operand that ModRM.rm names, in an XMM register or in memory. */
  readVector(bytes: number): Uint8Array {
    const { mod, rm } = this.instruction;
    return mod === 3 ? this.vectors.xmm(rm).slice(0, bytes) : this.readMemory(bytes);
  }

  /** Throws GuestException as SSE instructions do, SDM vol. 2, table 2-21 and following. */
  requireSse(): void {
    const { cr0, cr4 } = this;
    if ((cr0 & CR0_EM) !== 0 || (cr4 & CR4_OSFXSR) === 0) throw new GuestException(Vector.UD);
    this.requireLoaded();
  }

  requireXsave(): void {
    if ((this.cr4 & CR4_OSXSAVE) === 0) throw new GuestException(Vector.UD);
    this.requireLoaded();
  }

  /** WAIT looks at CR0.MP too. */
  requireFpuForWait(): void {
    const both = CR0_MP | CR0_TS;
    if ((this.cr0 & both) === both) throw new GuestException(Vector.NM);
  }

  /** One byte; without REX, 4 to 7 are AH, CH, DH and BH: SDM vol. 2, section 2.2.1.2. */
  private byteRegister(number: number): bigint {
    const isHigh = !this.instruction.rex && number >= FIRST_HIGH_BYTE;
    return (isHigh ? this.register(number - FIRST_HIGH_BYTE) >> 8n : this.register(number)) & 0xffn;
  }

  private requireLoaded(): void {
    if ((this.cr0 & CR0_TS) !== 0) throw new GuestException(Vector.NM);
  }

  private get cr0(): number {
    return Number(this.sregs.cr0 & 0xffff_ffffn);
  }
  private get cr4(): number {
    return Number(this.sregs.cr4 & 0xffff_ffffn);
  }
  private get isOnStack(): boolean {
    return segmentOf(this.instruction) === Segment.SS;
  }
}

export const fromBytes = (bytes: Uint8Array): bigint =>
  bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);

export function toBytes(value: bigint, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let i = 0, rest = value; i < count; i++, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return bytes;
}
