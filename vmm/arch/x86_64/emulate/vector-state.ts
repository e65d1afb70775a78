import type { Vcpu } from '../../../kvm/vcpu.ts';

/** Bits of XCR0, XSTATE_BV and so on: SDM vol. 1, section 13.1. */
export const Component = { X87: 0, SSE: 1, AVX: 2 } as const;

/** Offsets in an XSAVE area, SDM vol. 1, table 10-2 and section 13.4. */
export const XsaveOffset = {
  MXCSR: 24,
  MXCSR_MASK: 28,
  ST: 32,
  XMM: 160,
  XSTATE_BV: 512,
  XCOMP_BV: 520,
} as const;
export const HEADER_END = 576;
export const MXCSR_INITIAL = 0x1f80;

/** Where KVM keeps a vCPU's vector registers. */
export type VectorStore = Pick<Vcpu, 'getInto' | 'set'>;

/** struct kvm_xsave */
const AREA_BYTES = 4096;

/**
 * A vCPU's x87, SSE and AVX state as KVM_GET_XSAVE gives it, in the standard format: fetched when an instruction wants
 * it first, put back when one changed it.
 */
export class VectorState {
  readonly bytes = new Uint8Array(AREA_BYTES);
  readonly view = new DataView(this.bytes.buffer);
  private readonly store: VectorStore;
  private fetched = false;
  private changed = false;

  constructor(store: VectorStore) {
    this.store = store;
  }

  /** Another instruction begins. */
  reset(): void {
    this.fetched = this.changed = false;
  }

  fetch(): this {
    if (!this.fetched) this.store.getInto('xsave', this.bytes);
    this.fetched = true;
    return this;
  }

  /** Puts changes back. */
  commit(): void {
    if (this.changed) this.store.set('xsave', { bytes: this.bytes });
    this.changed = false;
  }

  noteChange(): void {
    this.changed = true;
  }

  /** The components that are not in their initial state, or whose memory counts as if: XSTATE_BV's low half. */
  get inUse(): number {
    return this.view.getUint32(XsaveOffset.XSTATE_BV, true);
  }
  set inUse(components: number) {
    this.view.setUint32(XsaveOffset.XSTATE_BV, components, true);
    this.changed = true;
  }

  /** The 16 bytes of an XMM register. */
  xmm(register: number): Uint8Array {
    const at = XsaveOffset.XMM + 16 * register;
    return this.fetch().bytes.subarray(at, at + 16);
  }

  setXmm(register: number, value: Uint8Array): void {
    this.xmm(register).set(value);
    this.inUse |= 1 << Component.SSE;
  }

  get mxcsr(): number {
    return this.fetch().view.getUint32(XsaveOffset.MXCSR, true);
  }

  /** KVM takes MXCSR from an area only where it says that SSE or AVX is in use. */
  set mxcsr(value: number) {
    this.fetch().view.setUint32(XsaveOffset.MXCSR, value, true);
    this.inUse |= 1 << Component.SSE;
  }

  /** The bits of MXCSR that exist. */
  get mxcsrMask(): number {
    return this.fetch().view.getUint32(XsaveOffset.MXCSR_MASK, true) || 0xffbf;
  }
}
