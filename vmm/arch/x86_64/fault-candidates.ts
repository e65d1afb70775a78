import type { ViewOf } from '../../ffi/struct.ts';
import type { kvmRegs, kvmSregs } from '../../kvm/layouts.ts';
import { gpa, PAGE_SIZE } from '../../memory/address.ts';
import { CandidateKind, CandidateList } from './candidate-list.ts';
import { Gpr, Segment } from './decode/cpu-context.ts';
import { LONGEST_INSTRUCTION } from './decode/instruction.ts';
import { Access, OperandFlag } from './decode/memory-operands.ts';
import { OperandDecoder } from './decode/operand-decoder.ts';
import type { VectorLayout } from './decode/vector-index.ts';
import { DeliveryCandidates } from './delivery-candidates.ts';
import { type LinearSource, readLinear } from './linear-memory.ts';
import { PageWalker } from './page-walk.ts';
import { VcpuContext } from './vcpu-context.ts';

/**
 * Pages of one operand that are looked at. Only a repeated string instruction has more, and it faults in the first of
 * those that are left: registers count along, and KVM's emulator interrupts itself after 1024 elements.
 */
const OPERAND_PAGES = 16;

/**
 * Finds which pages of guest RAM a vCPU, or KVM on its behalf, may have tried to write when KVM_RUN failed with EFAULT.
 * That error has no address, so it is worked out from the registers. The list is a superset: collectInstruction() finds
 * what the instruction at RIP writes and the page tables involved; where none of these was protected, collectDelivery()
 * adds what the delivery of an interrupt writes. `flags` say when even that may not be all. Allocates nothing after
 * its construction; one object serves one vCPU.
 */
export class FaultCandidates {
  readonly list: CandidateList;
  /** Bits of OperandFlag: UNKNOWN and INCOMPLETE mean that the page may not be in the list. */
  flags = 0;

  private readonly memory: LinearSource;
  private readonly vcpu: VcpuContext;
  private readonly walker: PageWalker;
  private readonly decoder: OperandDecoder;
  private readonly delivery: DeliveryCandidates;
  private readonly code = new Uint8Array(LONGEST_INSTRUCTION + 1);
  private readonly codeView = new DataView(this.code.buffer);
  private readonly noteTables = (walker: PageWalker): void => this.list.addTablesOf(walker);

  /** `regs` and `sregs` are up to date whenever collectInstruction() is called: those in kvm_run are. */
  constructor(memory: LinearSource, regs: ViewOf<typeof kvmRegs>, sregs: ViewOf<typeof kvmSregs>) {
    this.memory = memory;
    this.list = new CandidateList(memory);
    this.vcpu = new VcpuContext(regs, sregs);
    this.walker = new PageWalker(memory);
    this.decoder = new OperandDecoder(this.vcpu.cpu);
    this.delivery = new DeliveryCandidates(memory, this.walker, this.vcpu, this.list);
  }

  /** Bytes of the vCPU's XSAVE area, when known; else the largest there is. */
  set xsaveLength(bytes: number) {
    this.vcpu.cpu.xsaveLength = bytes;
  }

  /** Begins a new list: what the instruction at RIP writes, then the page tables that it needs. */
  collectInstruction(): void {
    const { vcpu, walker, list, decoder } = this;
    list.clear();
    vcpu.load();
    walker.configure(vcpu.cr0, vcpu.cr3Low, vcpu.cr3High, vcpu.cr4, vcpu.efer);
    const operands = decoder.decode(this.code, this.fetch());
    this.flags = operands.flags | (vcpu.shadowStacks ? OperandFlag.INCOMPLETE : 0);
    this.addOperands(0);
    list.flushTables(CandidateKind.TABLE);
  }

  /**
   * Adds the elements of a scatter or gather, when `flags` have VECTOR_INDEX: `xsave` is what KVM_GET_XSAVE gives, which
   * is not worth an ioctl otherwise.
   */
  collectVectorIndexed(xsave: DataView, layout: VectorLayout): void {
    if ((this.flags & OperandFlag.VECTOR_INDEX) === 0) return;
    const { operands } = this.decoder;
    const first = operands.count;
    this.decoder.addVectorIndexed(xsave, layout);
    this.flags = operands.flags | (this.vcpu.shadowStacks ? OperandFlag.INCOMPLETE : 0);
    this.addOperands(first);
    this.list.flushTables(CandidateKind.TABLE);
  }

  /** Adds what the delivery of an interrupt or exception would write now. */
  collectDelivery(): void {
    this.delivery.collect();
  }

  /** Reads the instruction; returns how many bytes could be read. */
  private fetch(): number {
    const { vcpu, walker, memory } = this;
    const { cpu } = vcpu;
    let low = (cpu.registers[2 * Gpr.RIP] as number) | 0;
    let high = (cpu.registers[2 * Gpr.RIP + 1] as number) | 0;
    if (cpu.codeBits !== 64) {
      low = (low + (cpu.segmentBases[2 * Segment.CS] as number)) | 0;
      high = 0;
    }
    return readLinear(memory, walker, low, high, LONGEST_INSTRUCTION, this.codeView, this.noteTables);
  }

  /** From the operand with index `first` on: written ones before the others, of which only the tables count. */
  private addOperands(first: number): void {
    const { count, access } = this.decoder.operands;
    for (let i = first; i < count; i++) if (((access[i] as number) & Access.WRITE) !== 0) this.addOperand(i);
    for (let i = first; i < count; i++) if (((access[i] as number) & Access.WRITE) === 0) this.addOperand(i);
  }

  private addOperand(index: number): void {
    const { operands } = this.decoder;
    const access = operands.access[index] as number;
    const low = operands.low[index] as number;
    const high = operands.high[index] as number;
    const firstPage = low - (low & (PAGE_SIZE - 1));
    const pageCount = Math.ceil((low - firstPage + (operands.bytes[index] as number)) / PAGE_SIZE);
    const looked = Math.min(pageCount, OPERAND_PAGES);
    const start = (access & Access.DESCENDING) === 0 ? 0 : pageCount - 1;
    const step = start === 0 ? 1 : -1;
    for (let i = 0; i < looked; i++)
      this.addPage(firstPage + (start + i * step) * PAGE_SIZE, high, (access & Access.WRITE) !== 0);
  }

  /** `low` may be past 2^32, and carries into `high` in 64-bit mode. */
  private addPage(low: number, high: number, write: boolean): void {
    const { walker, list, vcpu } = this;
    const carry = Math.floor(low / 2 ** 32);
    const upper = vcpu.cpu.codeBits === 64 ? (high + carry) | 0 : 0;
    const mapped = walker.walk(low | 0, upper);
    list.addTablesOf(walker);
    if (mapped && write) list.add(gpa(walker.physical), CandidateKind.OPERAND);
  }
}
