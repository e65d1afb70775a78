import { InstructionEmulator } from '../../../../../vmm/arch/x86_64/emulate/emulator.ts';
import type { XsaveLayout } from '../../../../../vmm/arch/x86_64/emulate/xsave-layout.ts';
import { registerOffsets } from '../../../../../vmm/arch/x86_64/vcpu-context.ts';
import { kvmDebugregs, kvmRegs, kvmSregs, kvmVcpuEvents, kvmXcrs } from '../../../../../vmm/kvm/layouts.ts';
import type { Vcpu } from '../../../../../vmm/kvm/vcpu.ts';
import { gpa, MIB } from '../../../../../vmm/memory/address.ts';
import { GuestMemory } from '../../../../../vmm/memory/guest-memory.ts';
import { allocateRam } from '../../../../../vmm/memory/ram.ts';

/** Rights of a page, SDM vol. 3A, section 4.5. */
export const Page = { ABSENT: 0n, READ_ONLY: 1n, WRITABLE: 3n, USER: 7n } as const;

const ROOT = 0x1000;
const CR0_PE_NE_WP_PG = 0x8001_0021n;
const CR4_PAE_OSFXSR_OSXSAVE = 0x20n | (1n << 9n) | (1n << 16n) | (1n << 18n);
const EFER_LME_LMA = 0x500n;
export const KERNEL_CS = 0x10;
const NEXT_FREE = 0x2000;

/** CPUID leaf 0DH of the processors in use. */
export const xsaveComponents: XsaveLayout = [
  { number: 2, size: 256, offset: 576, aligned: false },
  { number: 5, size: 64, offset: 1088, aligned: false },
  { number: 6, size: 512, offset: 1152, aligned: false },
  { number: 7, size: 1024, offset: 1664, aligned: false },
];

/** A vCPU at CPL 0 in 64-bit mode, with page tables, whose instructions are all completed by the emulator. */
export class EmulatedMachine {
  readonly regs = kvmRegs.allocate();
  readonly sregs = kvmSregs.allocate();
  readonly events = kvmVcpuEvents.allocate();
  readonly debugregs = kvmDebugregs.allocate();
  readonly xcrs = kvmXcrs.allocate();
  readonly msrs = new Map<number, bigint>();
  area = new Uint8Array(4096);
  readonly memory: GuestMemory;
  /** What was set, by name, in order. */
  readonly calls: string[] = [];
  readonly emulator: InstructionEmulator;
  private readonly ram = allocateRam(2 * MIB, { hugePages: false });
  private nextTable = NEXT_FREE;

  constructor(xsave: XsaveLayout = xsaveComponents) {
    this.memory = new GuestMemory(this.ram);
    const { sregs } = this;
    sregs.cr0 = CR0_PE_NE_WP_PG;
    sregs.cr3 = BigInt(ROOT);
    sregs.cr4 = CR4_PAE_OSFXSR_OSXSAVE;
    sregs.efer = EFER_LME_LMA;
    sregs.cs.selector = KERNEL_CS;
    sregs.cs.l = 1;
    this.regs.rflags = 2n;
    new DataView(this.xcrs.xcrs.buffer, this.xcrs.xcrs.byteOffset).setBigUint64(8, 0xe7n, true);
    this.emulator = new InstructionEmulator({
      vcpu: this.vcpu,
      memory: this.memory,
      exclusion: { acquire: () => {}, release: () => {} },
      xsave,
      regs: this.regs,
      sregs,
    });
  }

  free(): void {
    this.ram.free();
  }

  /** Maps a page; all levels above it allow everything. */
  map(linear: bigint, physical: number, rights: bigint = Page.WRITABLE): void {
    let table = ROOT;
    for (let level = 4; level > 1; level--) {
      const at = table + Number((linear >> BigInt(12 + 9 * (level - 1))) & 0x1ffn) * 8;
      if (this.memory.readU64(gpa(at)) === 0) {
        this.memory.writeU64(gpa(at), this.nextTable + 7);
        this.nextTable += 0x1000;
      }
      table = this.memory.readU64(gpa(at)) - (this.memory.readU64(gpa(at)) % 0x1000);
    }
    this.memory.writeU64(gpa(table + Number((linear >> 12n) & 0x1ffn) * 8), physical + Number(rights));
  }

  /** The entry that maps a page. */
  entryOf(linear: bigint): number {
    let table = ROOT;
    for (let level = 4; level > 1; level--) {
      const entry = this.memory.readU64(
        gpa(table + Number((linear >> BigInt(12 + 9 * (level - 1))) & 0x1ffn) * 8),
      );
      table = entry - (entry % 0x1000);
    }
    return this.memory.readU64(gpa(table + Number((linear >> 12n) & 0x1ffn) * 8));
  }

  setRegisters(values: readonly bigint[]): void {
    const view = new DataView(this.regs.bytes.buffer, this.regs.bytes.byteOffset);
    for (const [i, value] of values.entries()) view.setBigUint64(registerOffsets[i] as number, value, true);
  }

  /** In encoding order. */
  get registers(): bigint[] {
    const view = new DataView(this.regs.bytes.buffer, this.regs.bytes.byteOffset);
    return registerOffsets.slice(0, 16).map(offset => view.getBigUint64(offset, true));
  }

  /** Vector and error code of the exception that is injected. */
  get injected(): { vector: number; errorCode: number | undefined } | undefined {
    const { exception } = this.events;
    if (exception[0] === 0) return undefined;
    const code = new DataView(exception.buffer, exception.byteOffset).getUint32(4, true);
    return { vector: exception[1] as number, errorCode: exception[2] === 0 ? undefined : code };
  }

  private get vcpu(): Vcpu {
    return {
      get: (name: 'xcrs' | 'events' | 'debugregs') => this[name],
      getInto: (_name: string, into: Uint8Array) => into.set(this.area),
      set: (name: string, state: { bytes: Uint8Array }) => {
        this.calls.push(name);
        if (name === 'xsave') this.area = state.bytes.slice();
        if (name === 'events') this.events.bytes.set(state.bytes);
      },
      getMsrs: (indices: readonly number[]) =>
        indices.map(index => ({ index, data: this.msrs.get(index) ?? 0n })),
      setMsrs: (values: readonly { index: number; data: bigint }[]) => {
        for (const { index, data } of values) this.msrs.set(index, data);
        return values.length;
      },
    } as unknown as Vcpu;
  }
}
