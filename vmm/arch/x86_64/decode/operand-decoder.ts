import { Analysis } from './analysis.ts';
import type { CpuContext } from './cpu-context.ts';
import { addExplicitOperand } from './explicit-operand.ts';
import { addImplicitOperands } from './implicit-operands.ts';
import type { Instruction } from './instruction.ts';
import { type MemoryOperands, OperandFlag } from './memory-operands.ts';
import { INCOMPLETE, LOADS_DESCRIPTOR, STRING_DESTINATION, STRING_SOURCE } from './opcode-entry.ts';
import { ParseStatus, parseInstruction } from './parse.ts';
import { addStringOperands } from './string-operands.ts';
import { addVectorIndexedOperands, type VectorLayout } from './vector-index.ts';

/**
 * Finds the memory that an instruction accesses, from its bytes and the registers that it starts with. What it says
 * is a superset: an instruction that the opcode maps do not know is flagged, never taken for one that writes nothing.
 * Allocates nothing after its construction.
 */
export class OperandDecoder {
  /** The vCPU; whoever calls decode() fills it in before. */
  readonly context: CpuContext;
  /** What the last decode() found. */
  readonly operands: MemoryOperands;
  /** The instruction of the last decode(), for those who can tell more about it. */
  readonly instruction: Instruction;
  private readonly analysis: Analysis;

  constructor(context: CpuContext) {
    this.context = context;
    this.analysis = new Analysis(context);
    this.operands = this.analysis.operands;
    this.instruction = this.analysis.instruction;
  }

  /** Decodes what `bytes` begins with; `available` of them (at most 15 are used) could be read. */
  decode(bytes: Uint8Array, available: number): MemoryOperands {
    const { analysis, instruction, operands } = this;
    operands.clear();
    const status = parseInstruction(instruction, bytes, available, this.context);
    if (status !== ParseStatus.OK) {
      operands.flags =
        OperandFlag.UNKNOWN |
        OperandFlag.INCOMPLETE |
        (status === ParseStatus.TRUNCATED ? OperandFlag.TRUNCATED : 0);
      return operands;
    }
    operands.length = instruction.length;
    const { entry } = instruction;
    if ((entry & INCOMPLETE) !== 0) operands.flags |= OperandFlag.INCOMPLETE;
    if ((entry & LOADS_DESCRIPTOR) !== 0) operands.flags |= OperandFlag.DESCRIPTOR;
    if ((entry & (STRING_SOURCE | STRING_DESTINATION)) !== 0) addStringOperands(analysis);
    else {
      addExplicitOperand(analysis);
      addImplicitOperands(analysis);
    }
    return operands;
  }

  /**
   * Adds the elements of a gather or scatter after decode() has set VECTOR_INDEX; `xsave` is the vCPU's XSAVE area in
   * the standard format, as KVM_GET_XSAVE gives it.
   */
  addVectorIndexed(xsave: DataView, layout: VectorLayout): MemoryOperands {
    if ((this.operands.flags & OperandFlag.VECTOR_INDEX) !== 0)
      addVectorIndexedOperands(this.analysis, xsave, layout);
    return this.operands;
  }
}
