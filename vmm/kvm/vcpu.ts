import { checked, errno } from '../ffi/errno.ts';
import { backend } from '../ffi/index.ts';
import { close, ioctl, ioctlBuffer, munmap } from '../ffi/libc.ts';
import type { Layout, StructFields, View } from '../ffi/struct.ts';
import type { Hva } from '../memory/address.ts';
import type { CpuidEntry } from './kvm.ts';
import {
  kvmCpuid2,
  kvmCpuidEntry2,
  kvmDebugregs,
  kvmLapicState,
  kvmMpState,
  kvmMsrEntry,
  kvmMsrs,
  kvmRegs,
  kvmRun,
  kvmSregs,
  kvmTranslation,
  kvmVcpuEvents,
  kvmXcrs,
  kvmXsave,
} from './layouts.ts';
import { io, ior, iow, iowr } from './request.ts';

export const KVM_RUN = io(0x80);
export const KVM_GET_TSC_KHZ = io(0xa3);
export const KVM_KVMCLOCK_CTRL = io(0xad);
export const KVM_SET_CPUID2 = iow(0x90, kvmCpuid2);
export const KVM_TRANSLATE = iowr(0x85, kvmTranslation);
export const KVM_GET_MSRS = iowr(0x88, kvmMsrs);
export const KVM_SET_MSRS = iow(0x89, kvmMsrs);

/** State that is one struct: how it is read and written. */
export const vcpuStates = {
  regs: { layout: kvmRegs, get: ior(0x81, kvmRegs), set: iow(0x82, kvmRegs) },
  sregs: { layout: kvmSregs, get: ior(0x83, kvmSregs), set: iow(0x84, kvmSregs) },
  lapic: { layout: kvmLapicState, get: ior(0x8e, kvmLapicState), set: iow(0x8f, kvmLapicState) },
  mpState: { layout: kvmMpState, get: ior(0x98, kvmMpState), set: iow(0x99, kvmMpState) },
  events: { layout: kvmVcpuEvents, get: ior(0x9f, kvmVcpuEvents), set: iow(0xa0, kvmVcpuEvents) },
  debugregs: { layout: kvmDebugregs, get: ior(0xa1, kvmDebugregs), set: iow(0xa2, kvmDebugregs) },
  xsave: { layout: kvmXsave, get: ior(0xa4, kvmXsave), set: iow(0xa5, kvmXsave) },
  xcrs: { layout: kvmXcrs, get: ior(0xa6, kvmXcrs), set: iow(0xa7, kvmXcrs) },
} as const;

type VcpuStates = typeof vcpuStates;
export type VcpuStateName = keyof VcpuStates;
export const vcpuStateNames = Object.keys(vcpuStates) as VcpuStateName[];
export type VcpuStateView<Name extends VcpuStateName> =
  VcpuStates[Name]['layout'] extends Layout<infer Fields extends StructFields> ? View<Fields> : never;

/** What another thread needs to use the same vCPU. */
export interface VcpuDescriptor {
  readonly id: number;
  readonly fd: number;
  readonly run: Hva;
  readonly runLength: number;
}

/** One vCPU: the file descriptor of KVM_CREATE_VCPU and the pages it shares (KVM API document, "vcpu ioctls"). */
export class Vcpu implements VcpuDescriptor {
  readonly id: number;
  readonly fd: number;
  readonly run: Hva;
  readonly runLength: number;
  /** struct kvm_run and what follows it, for those who read exits. */
  readonly shared: DataView;

  constructor({ id, fd, run, runLength }: VcpuDescriptor) {
    this.id = id;
    this.fd = fd;
    this.run = run;
    this.runLength = runLength;
    this.shared = new DataView(backend.view(run, runLength));
  }

  get descriptor(): VcpuDescriptor {
    return { id: this.id, fd: this.fd, run: this.run, runLength: this.runLength };
  }

  /** KVM_RUN: 0 when the guest exited, -EINTR when it was kicked, else -errno. */
  enter(): number {
    return ioctl(this.fd, KVM_RUN, 0);
  }

  /** While set, enter() finishes a pending PIO or MMIO and returns -EINTR at once (KVM_CAP_IMMEDIATE_EXIT). */
  set immediateExit(enabled: boolean) {
    this.shared.setUint8(kvmRun.offsets.immediate_exit, enabled ? 1 : 0);
  }

  get<Name extends VcpuStateName>(name: Name): VcpuStateView<Name> {
    const { layout, get } = vcpuStates[name];
    const state = layout.allocate();
    checked(ioctlBuffer(this.fd, get, state.bytes), `KVM_GET of ${layout.name}`);
    return state as unknown as VcpuStateView<Name>;
  }

  /** get() into memory of the caller's, for the hot path of a snapshot. */
  getInto(name: VcpuStateName, into: Uint8Array): void {
    const result = ioctlBuffer(this.fd, vcpuStates[name].get, into);
    if (result < 0) checked(result, `KVM_GET of ${vcpuStates[name].layout.name}`);
  }

  /** KVM_GET_MSRS on a prepared struct kvm_msrs: number of MSRs read, or -errno. */
  readMsrsInto(msrs: Uint8Array): number {
    return ioctlBuffer(this.fd, KVM_GET_MSRS, msrs);
  }

  set(name: VcpuStateName, state: { readonly bytes: Uint8Array }): void {
    const { layout, set } = vcpuStates[name];
    checked(ioctlBuffer(this.fd, set, state.bytes), `KVM_SET of ${layout.name}`);
  }

  setCpuid(entries: readonly CpuidEntry[]): void {
    const header = kvmCpuid2.allocate(entries.length * kvmCpuidEntry2.size);
    header.nent = entries.length;
    for (const [i, entry] of entries.entries()) {
      header.bytes.set(entry.bytes, kvmCpuid2.size + i * kvmCpuidEntry2.size);
    }
    checked(ioctlBuffer(this.fd, KVM_SET_CPUID2, header.bytes), 'KVM_SET_CPUID2');
  }

  /** Values of the MSRs, as far as the host has them: reading stops at the first it refuses. */
  getMsrs(indices: readonly number[]): { index: number; data: bigint }[] {
    const list = msrList(indices.map(index => ({ index, data: 0n })));
    const count = checked(ioctlBuffer(this.fd, KVM_GET_MSRS, list.bytes), 'KVM_GET_MSRS');
    return Array.from({ length: count }, (_, i) => {
      const { index, data } = kvmMsrEntry.at(list.bytes.buffer, kvmMsrs.size + i * kvmMsrEntry.size);
      return { index, data };
    });
  }

  /** Number of MSRs set: writing stops at the first the host refuses. */
  setMsrs(values: readonly { index: number; data: bigint }[]): number {
    return checked(ioctlBuffer(this.fd, KVM_SET_MSRS, msrList(values).bytes), 'KVM_SET_MSRS');
  }

  /** The guest-physical address of a linear one, by the vCPU's page tables; undefined where nothing is mapped. */
  translate(linear: bigint): number | undefined {
    const translation = kvmTranslation.allocate();
    translation.linear_address = linear;
    if (ioctlBuffer(this.fd, KVM_TRANSLATE, translation.bytes) < 0 || translation.valid === 0)
      return undefined;
    return translation.physical_address;
  }

  get tsc_khz(): number {
    return checked(ioctl(this.fd, KVM_GET_TSC_KHZ, 0), 'KVM_GET_TSC_KHZ');
  }

  /**
   * Tells the guest, by its clock page, that it stood still: without, its watchdogs take the time that went by for a lockup
   * (KVM_KVMCLOCK_CTRL). A guest without such a page is told nothing.
   */
  noteStandstill(): void {
    const result = ioctl(this.fd, KVM_KVMCLOCK_CTRL, 0);
    if (result < 0 && result !== -errno.EINVAL) checked(result, 'KVM_KVMCLOCK_CTRL');
  }

  close(): void {
    munmap(this.run, this.runLength);
    close(this.fd);
  }
}

function msrList(values: readonly { index: number; data: bigint }[]) {
  const list = kvmMsrs.allocate(values.length * kvmMsrEntry.size);
  list.nmsrs = values.length;
  for (const [i, { index, data }] of values.entries()) {
    const entry = kvmMsrEntry.at(list.bytes.buffer, kvmMsrs.size + i * kvmMsrEntry.size);
    entry.index = index;
    entry.data = data;
  }
  return list;
}
