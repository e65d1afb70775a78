import type { EmulatedCpu } from '../emulated-cpu.ts';
import type { Emulated } from '../encoding.ts';
import { GuestException, Vector } from '../exception.ts';
import { Component, HEADER_END, MXCSR_INITIAL, XsaveOffset } from '../vector-state.ts';
import { readXcr0 } from './extended-control.ts';

/**
 * The XSAVE family: SDM vol. 1, sections 13.7 to 13.12, of which the comments below name steps. Supervisor components
 * do not exist for guests, so XSAVES and XRSTORS are XSAVEC and the compacted XRSTOR.
 */
export const xsaveInstructions: readonly Emulated[] = [
  { encoding: 'NP 0F AE /4 m', name: 'xsave', execute: cpu => save(cpu, { compact: false, skips: false }) },
  { encoding: 'NP 0F AE /6 m', name: 'xsaveopt', execute: cpu => save(cpu, { compact: false, skips: true }) },
  { encoding: 'NP 0F C7 /4 m', name: 'xsavec', execute: cpu => save(cpu, { compact: true, skips: true }) },
  { encoding: 'NP 0F C7 /5 m', name: 'xsaves', execute: cpu => save(cpu, { compact: true, skips: true }) },
  { encoding: 'NP 0F AE /5 m', name: 'xrstor', execute: cpu => restore(cpu, false) },
  { encoding: 'NP 0F C7 /3 m', name: 'xrstors', execute: cpu => restore(cpu, true) },
];

const COMPACTED = 0x8000_0000;
const X87 = 1 << Component.X87;
const SSE = 1 << Component.SSE;
const AVX = 1 << Component.AVX;
/** Bytes of the legacy region that belong to x87: FCW to FDP, and ST0 to ST7 (table 10-2). */
const X87_CONTROL_BYTES = 24;
const ST_BYTES = 128;
const XMM_BYTES = 256;
/** Where the header's reserved part begins, for XRSTOR's standard and its compacted form. */
const RESERVED_STANDARD = XsaveOffset.XCOMP_BV;
const RESERVED_STANDARD_END = 536;
const RESERVED_COMPACTED = 528;

function requireArea(cpu: EmulatedCpu): void {
  cpu.requireXsave();
  if ((cpu.operandAddress & 63n) !== 0n) throw new GuestException(Vector.GP, 0);
}

/** XCR0, of whose bits all that can be set lie in the low half; and those that the instruction asks for. */
function requestedComponents(cpu: EmulatedCpu): { enabled: number; requested: number } {
  const enabled = Number(readXcr0(cpu) & 0x7fff_ffffn);
  return { enabled, requested: Number(cpu.edxEax & 0x7fff_ffffn) & enabled };
}

/** Where the components that `present` names lie, in the standard or the compacted format. */
function* placesOf(cpu: EmulatedCpu, present: number, compact: boolean) {
  let next = HEADER_END;
  for (const component of cpu.xsave) {
    if (((present >> component.number) & 1) === 0) continue;
    if (component.aligned) next = Math.ceil(next / 64) * 64;
    yield { ...component, at: compact ? next : component.offset };
    next += component.size;
  }
}

const endOf = (cpu: EmulatedCpu, present: number, compact: boolean): number =>
  Math.max(HEADER_END, ...Array.from(placesOf(cpu, present, compact), ({ at, size }) => at + size));

/** `compact`: XSAVEC's format; `skips`: components in their initial state are not written. */
function save(cpu: EmulatedCpu, { compact, skips }: { compact: boolean; skips: boolean }): void {
  requireArea(cpu);
  const { requested } = requestedComponents(cpu);
  const { vectors } = cpu;
  const { bytes, mxcsr } = vectors.fetch();
  const area = new Uint8Array(endOf(cpu, requested, compact));
  // What is not written stays as it is; reading everything first also finds all faults before the first write.
  cpu.memory.checkWrite(cpu.operandAddress, area.length);
  cpu.memory.read(cpu.operandAddress, area);
  const view = new DataView(area.buffer);
  let inUse = vectors.inUse & requested;
  // Section 13.10: MXCSR counts as part of SSE there.
  if (compact && (requested & SSE) !== 0 && mxcsr !== MXCSR_INITIAL) inUse |= SSE;
  const written = skips ? inUse : requested;
  const copy = (at: number, from: number, length: number) =>
    area.set(bytes.subarray(from, from + length), at);
  if ((written & X87) !== 0) {
    copy(0, 0, X87_CONTROL_BYTES);
    copy(XsaveOffset.ST, XsaveOffset.ST, ST_BYTES);
  }
  if ((written & SSE) !== 0) copy(XsaveOffset.XMM, XsaveOffset.XMM, XMM_BYTES);
  const withMxcsr = compact ? written & SSE : requested & (SSE | AVX);
  if (withMxcsr !== 0) copy(XsaveOffset.MXCSR, XsaveOffset.MXCSR, 8);
  for (const { number, at, offset, size } of placesOf(cpu, requested, compact))
    if (((written >> number) & 1) !== 0) copy(at, offset, size);
  // Section 13.7: bits that were not asked for keep their value. XSAVEC clears them (13.10).
  const kept = compact ? 0 : view.getUint32(XsaveOffset.XSTATE_BV, true) & ~requested;
  view.setUint32(XsaveOffset.XSTATE_BV, kept | inUse, true);
  if (compact) {
    view.setUint32(XsaveOffset.XSTATE_BV + 4, 0, true);
    view.setUint32(XsaveOffset.XCOMP_BV, requested, true);
    view.setUint32(XsaveOffset.XCOMP_BV + 4, COMPACTED, true);
  }
  cpu.memory.write(cpu.operandAddress, area);
}

function restore(cpu: EmulatedCpu, compactOnly: boolean): void {
  requireArea(cpu);
  const { enabled, requested } = requestedComponents(cpu);
  const header = new Uint8Array(HEADER_END);
  cpu.memory.read(cpu.operandAddress, header);
  const { compact, saved, present } = checkHeader(new DataView(header.buffer), enabled, compactOnly);
  const area = new Uint8Array(endOf(cpu, compact ? present : requested, compact));
  cpu.memory.read(cpu.operandAddress, area);
  const mxcsr = restoredMxcsr(cpu, new DataView(area.buffer), { compact, saved, requested });

  const { vectors } = cpu;
  const { bytes } = vectors.fetch();
  const loaded = requested & saved;
  const load = (from: number, to: number, length: number) =>
    bytes.set(area.subarray(from, from + length), to);
  // KVM_SET_XSAVE gives every component that XSTATE_BV leaves out its initial state.
  if ((loaded & X87) !== 0) {
    load(0, 0, X87_CONTROL_BYTES);
    load(XsaveOffset.ST, XsaveOffset.ST, ST_BYTES);
  }
  if ((loaded & SSE) !== 0) load(XsaveOffset.XMM, XsaveOffset.XMM, XMM_BYTES);
  else if ((requested & SSE) !== 0) bytes.fill(0, XsaveOffset.XMM, XsaveOffset.XMM + XMM_BYTES);
  for (const { number, at, offset, size } of placesOf(cpu, compact ? present : requested, compact))
    if (((loaded >> number) & 1) !== 0) load(at, offset, size);
  vectors.inUse = (vectors.inUse & ~requested) | loaded;
  if (mxcsr !== undefined && mxcsr !== vectors.mxcsr) vectors.mxcsr = mxcsr;
  // An MXCSR that is not the initial one must not be lost with SSE's bit.
  if (vectors.mxcsr !== MXCSR_INITIAL) vectors.inUse |= SSE;
}

/** Sections 13.8.1 and 13.8.2: what the header says, or #GP. */
function checkHeader(
  header: DataView,
  enabled: number,
  compactOnly: boolean,
): { compact: boolean; saved: number; present: number } {
  const saved = header.getUint32(XsaveOffset.XSTATE_BV, true);
  const savedHigh = header.getUint32(XsaveOffset.XSTATE_BV + 4, true);
  const present = header.getUint32(XsaveOffset.XCOMP_BV, true);
  const presentHigh = header.getUint32(XsaveOffset.XCOMP_BV + 4, true);
  const compact = (presentHigh & COMPACTED) !== 0;
  const isZero = (from: number, to: number) => {
    for (let at = from; at < to; at += 4) if (header.getUint32(at, true) !== 0) return false;
    return true;
  };
  const good = compact
    ? (present & ~enabled) === 0 &&
      presentHigh >>> 0 === COMPACTED &&
      (saved & ~present) === 0 &&
      savedHigh === 0 &&
      isZero(RESERVED_COMPACTED, HEADER_END)
    : !compactOnly &&
      (saved & ~enabled) === 0 &&
      savedHigh === 0 &&
      isZero(RESERVED_STANDARD, RESERVED_STANDARD_END);
  if (!good) throw new GuestException(Vector.GP, 0);
  return { compact, saved, present };
}

/** What MXCSR becomes; undefined: stays. Throws #GP for bits that do not exist. */
function restoredMxcsr(
  cpu: EmulatedCpu,
  area: DataView,
  { compact, saved, requested }: { compact: boolean; saved: number; requested: number },
): number | undefined {
  if ((requested & (compact ? SSE : SSE | AVX)) === 0) return undefined;
  if (compact && (saved & SSE) === 0) return MXCSR_INITIAL;
  const value = area.getUint32(XsaveOffset.MXCSR, true);
  if ((value & ~cpu.vectors.mxcsrMask) !== 0) throw new GuestException(Vector.GP, 0);
  return value;
}
