import { checked } from '../ffi/errno.ts';
import { backend } from '../ffi/index.ts';
import { kvmMsrEntry, kvmMsrs } from '../kvm/layouts.ts';
import { type Vcpu, type VcpuStateName, type VcpuStateView, vcpuStates } from '../kvm/vcpu.ts';
import { type Gpa, gpa, type Hva } from '../memory/address.ts';

/** In the order in which KVM must be asked: MP_STATE first and the events last, as reading changes neither then. */
const captureOrder = [
  'mpState',
  'regs',
  'sregs',
  'xsave',
  'xcrs',
  'debugregs',
  'lapic',
  'events',
] as const satisfies VcpuStateName[];

const MAXIMUM_MSRS = 512;
const alignSlab = (size: number): number => Math.ceil(size / 64) * 64;
const MSRS_OFFSET = captureOrder.reduce((end, name) => end + alignSlab(vcpuStates[name].layout.size), 0);

const EAGER_OFFSET = alignSlab(MSRS_OFFSET + kvmMsrs.size + MAXIMUM_MSRS * kvmMsrEntry.size);
/** Two stack pages for each of eleven stack pointers, some of the GDT, and what the MSRs name. */
const MAXIMUM_EAGER_PAGES = 63;

/** Bytes of one vCPU's slab. */
export const SLAB_SIZE = alignSlab(EAGER_OFFSET + 8 * (1 + MAXIMUM_EAGER_PAGES));

/**
 * Preallocated room for all state of one vCPU, in native memory: its thread fills it during the pause of a snapshot,
 * by one ioctl for each part, without allocating; the control thread reads it later.
 */
export class VcpuSlab {
  static readonly MAXIMUM_EAGER_PAGES = MAXIMUM_EAGER_PAGES;
  readonly parts: { readonly [Name in VcpuStateName]: VcpuStateView<Name> };
  private readonly msrs: Uint8Array;
  private readonly view: DataView;
  /** The number of eager pages (see EagerSet), and their addresses. */
  private readonly eager: Float64Array;

  constructor(address: Hva) {
    const buffer = backend.view(address, SLAB_SIZE);
    let offset = 0;
    const parts: Partial<Record<VcpuStateName, unknown>> = {};
    for (const name of captureOrder) {
      parts[name] = vcpuStates[name].layout.at(buffer, offset);
      offset += alignSlab(vcpuStates[name].layout.size);
    }
    this.parts = parts as VcpuSlab['parts'];
    this.msrs = new Uint8Array(buffer, MSRS_OFFSET, kvmMsrs.size + MAXIMUM_MSRS * kvmMsrEntry.size);
    this.view = new DataView(buffer, MSRS_OFFSET, this.msrs.length);
    this.eager = new Float64Array(buffer, EAGER_OFFSET, 1 + MAXIMUM_EAGER_PAGES);
  }

  /** Names the MSRs that capture() reads: those the host has. */
  prepare(msrIndices: readonly number[]): void {
    const header = kvmMsrs.at(this.msrs.buffer, this.msrs.byteOffset);
    header.nmsrs = Math.min(msrIndices.length, MAXIMUM_MSRS);
    for (const [i, index] of msrIndices.slice(0, MAXIMUM_MSRS).entries()) this.entry(i).index = index;
  }

  /** For the vCPU's thread. Throws SyscallError. */
  capture(vcpu: Vcpu): void {
    for (const name of captureOrder) vcpu.getInto(name, this.parts[name].bytes);
    checked(vcpu.readMsrsInto(this.msrs), 'KVM_GET_MSRS');
  }

  clearEagerPages(): void {
    this.eager[0] = 0;
  }

  addEagerPage(address: Gpa): void {
    const count = this.eager[0] as number;
    if (count === MAXIMUM_EAGER_PAGES) return;
    this.eager[1 + count] = address;
    this.eager[0] = count + 1;
  }

  /** Of pages in RAM that must be writable when the vCPU goes on; the same page may come more than once. */
  get eagerPageCount(): number {
    return this.eager[0] as number;
  }

  eagerPage(index: number): Gpa {
    return gpa(this.eager[1 + index] as number);
  }

  get msrValues(): { index: number; data: bigint }[] {
    const { nmsrs } = kvmMsrs.at(this.msrs.buffer, this.msrs.byteOffset);
    return Array.from({ length: nmsrs }, (_, i) => {
      const { index, data } = this.entry(i);
      return { index, data };
    });
  }

  /** Calls `visit` with the halves of every MSR's value; for the pause, as it allocates nothing. */
  forEachMsr(visit: (index: number, low: number, high: number) => void): void {
    const { view } = this;
    const count = view.getUint32(kvmMsrs.offsets.nmsrs, true);
    for (let i = 0; i < count; i++) {
      const at = kvmMsrs.size + i * kvmMsrEntry.size;
      const data = at + kvmMsrEntry.offsets.data;
      visit(view.getUint32(at, true), view.getUint32(data, true), view.getUint32(data + 4, true));
    }
  }

  private entry(i: number) {
    return kvmMsrEntry.at(this.msrs.buffer, this.msrs.byteOffset + kvmMsrs.size + i * kvmMsrEntry.size);
  }
}
