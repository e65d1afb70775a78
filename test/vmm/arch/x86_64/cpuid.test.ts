import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type CpuidOptions, guestCpuid } from '../../../../vmm/arch/x86_64/cpuid.ts';
import type { CpuidEntry } from '../../../../vmm/kvm/kvm.ts';
import { kvmCpuidEntry2 } from '../../../../vmm/kvm/layouts.ts';

const ALL = 0xffffffff;

/** A leaf that offers everything. */
function leaf(fn: number, index = 0): CpuidEntry {
  const entry = kvmCpuidEntry2.allocate();
  Object.assign(entry, { function: fn, index, eax: ALL, ebx: ALL, ecx: ALL, edx: ALL });
  return entry;
}

const options: CpuidOptions = { vcpuId: 2, vcpuCount: 4, tsc_khz: 2_500_000, tscDeadlineTimer: true };

/** What the guest sees of one leaf that offers everything. */
function seen(fn: number, index = 0, changes: Partial<CpuidOptions> = {}): CpuidEntry {
  return guestCpuid([leaf(fn, index)], { ...options, ...changes })[0] as CpuidEntry;
}
const bit = (value: number, number: number): number => (value >>> number) & 1;

test('leaf 1: identity of the vCPU, hypervisor on, MONITOR off, TSC deadline timer as the host has it', () => {
  const { ebx, ecx } = seen(1);
  assert.is(ebx >>> 24, 2, 'APIC id');
  assert.is((ebx >>> 16) & 0xff, 4, 'logical processors');
  assert.equal([bit(ecx, 31), bit(ecx, 3), bit(ecx, 24)], [1, 0, 1]);
  assert.is(bit(seen(1, 0, { tscDeadlineTimer: false }).ecx, 24), 0);
});

test('leaf 4: as many cores as vCPUs, each with its own caches', () => {
  const { eax } = seen(4);
  assert.is(eax >>> 26, 3);
  assert.is((eax >>> 14) & 0xfff, 0);
});

test('leaf 0x8000001d: each core has its own caches', () => {
  assert.is((seen(0x8000001d).eax >>> 14) & 0xfff, 0);
});

test('leaf 7: nothing whose state a snapshot could not hold', () => {
  const { ebx, ecx, edx } = seen(7);
  const hidden = {
    SGX: bit(ebx, 2),
    HLE: bit(ebx, 4),
    RTM: bit(ebx, 11),
    PT: bit(ebx, 25),
    PKU: bit(ecx, 3),
    OSPKE: bit(ecx, 4),
    WAITPKG: bit(ecx, 5),
    SHSTK: bit(ecx, 7),
    UINTR: bit(edx, 5),
    IBT: bit(edx, 20),
    AMX_BF16: bit(edx, 22),
    AMX_TILE: bit(edx, 24),
    AMX_INT8: bit(edx, 25),
  };
  for (const [name, value] of Object.entries(hidden)) assert.is(value, 0, name);
  assert.equal([bit(ebx, 5), bit(ebx, 16)], [1, 1], 'AVX2 and AVX-512F stay');
  assert.is(bit(seen(7, 1).eax, 21), 0, 'AMX_FP16');
});

test('leaf 0xd: only components that a 4 KiB XSAVE area holds, and no supervisor ones', () => {
  const { eax, edx } = seen(0xd, 0);
  assert.equal([eax, edx], [0xe7, 0]);
  const features = seen(0xd, 1);
  assert.equal([bit(features.eax, 3), features.ecx, features.edx], [0, 0, 0]);
  for (const component of [9, 17, 18, 31, 40]) {
    assert.equal([seen(0xd, component).eax, seen(0xd, component).ebx], [0, 0], `component ${component}`);
  }
  for (const component of [2, 5, 6, 7]) assert.is(seen(0xd, component).eax, ALL, `component ${component}`);
});

/** All levels of a topology leaf, of which KVM offers the first one only. */
function levels(fn: number, changes: Partial<CpuidOptions> = {}): number[][] {
  const entries = guestCpuid([leaf(fn, 0)], { ...options, ...changes }).filter(
    entry => entry.function === fn,
  );
  assert.ok(entries.every(({ flags, index }, i) => flags === 1 && index === i));
  return entries.map(({ eax, ebx, ecx, edx }) => [eax, ebx, ecx, edx]);
}

test('leaves 0xb and 0x1f: one thread a core, all cores in one package, the vCPU in edx', () => {
  for (const fn of [0xb, 0x1f]) {
    assert.equal(levels(fn), [
      [0, 1, 0x100, 2],
      [2, 4, 0x201, 2],
      [0, 0, 2, 2],
    ]);
    assert.is(levels(fn, { vcpuCount: 5 })[1]?.[0], 3, 'five ids take three bits');
    assert.is(levels(fn, { vcpuCount: 1, vcpuId: 0 })[1]?.[0], 0);
  }
  const without = guestCpuid([leaf(1)], options);
  assert.not.ok(without.some(entry => entry.function === 0xb || entry.function === 0x1f));
});

test('leaves 1 and 0x80000001: several processors are announced as cores, and one is not', () => {
  assert.equal([bit(seen(1).edx, 28), bit(seen(0x80000001).ecx, 1)], [1, 1]);
  const one = { vcpuCount: 1, vcpuId: 0 };
  assert.equal([bit(seen(1, 0, one).edx, 28), bit(seen(0x80000001, 0, one).ecx, 1)], [0, 0]);
});

test('performance counters, processor trace, SGX and AMX tiles: empty', () => {
  for (const fn of [0xa, 0x12, 0x14, 0x1d, 0x1e, 0x80000022, 0x80000026]) {
    const { eax, ebx, ecx, edx } = seen(fn);
    assert.equal([eax, ebx, ecx, edx], [0, 0, 0, 0], `leaf 0x${fn.toString(16)}`);
  }
});

test('leaf 0x40000001: none of the features by which KVM writes guest memory behind our back', () => {
  const { eax } = seen(0x40000001);
  const ASYNC_PF = 4;
  const STEAL_TIME = 5;
  const PV_EOI = 6;
  const ASYNC_PF_INT = 14;
  for (const number of [ASYNC_PF, STEAL_TIME, PV_EOI, ASYNC_PF_INT]) assert.is(bit(eax, number), 0);
  assert.equal([bit(eax, 3), bit(eax, 24)], [1, 1], 'kvmclock stays');
});

test('timing leaf: announced by 0x40000000; TSC and APIC bus in kHz', () => {
  assert.is(seen(0x40000000).eax, 0x40000010);
  const timing = guestCpuid([], options)[0] as CpuidEntry;
  assert.equal([timing.function, timing.eax, timing.ebx], [0x40000010, 2_500_000, 1_000_000]);
  const replaced = guestCpuid([leaf(0x40000010)], options);
  assert.equal(
    replaced.map(entry => entry.eax),
    [2_500_000],
  );
});

test('AMD leaves: number of cores and the id of this one', () => {
  assert.is(seen(0x80000008).ecx & 0xf0ff, 0x2003);
  assert.is(seen(0x80000008, 0, { vcpuCount: 1, vcpuId: 0 }).ecx & 0xf0ff, 0);
  const { eax, ebx, ecx } = seen(0x8000001e);
  assert.equal([eax, ebx, ecx], [2, 2, 0]);
});

test('guestCpuid(): other leaves pass unchanged, and the input is not touched', () => {
  const input = [leaf(0), leaf(1), leaf(7), leaf(0x80000002)];
  const output = guestCpuid(input, options);
  assert.ok(input.every(({ eax, ebx, ecx, edx }) => [eax, ebx, ecx, edx].every(value => value === ALL)));
  assert.equal([output[0]?.eax, output[3]?.eax], [ALL, ALL]);
});

test.run();
