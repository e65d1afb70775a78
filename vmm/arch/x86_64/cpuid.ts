/**
 * The CPUID policy: what a guest is told about its processor. It starts from what KVM offers on this host
 * (KVM_GET_SUPPORTED_CPUID) and changes, leaf by leaf:
 *
 * | leaf | change | why |
 * | --- | --- | --- |
 * | 1 | APIC id and number of processors, HYPERVISOR on, TSC_DEADLINE as KVM has it, MONITOR off | identity of the vCPU; mwait would not exit |
 * | 4, 0xb, 0x1f, 0x80000001, 0x80000008, 0x8000001d, 0x8000001e | topology: one package, one thread a core | guests must not derive the host's; KVM offers the levels of 0xb and 0x1f empty |
 * | 0x80000026 | empty | AMD's other topology leaf: 0xb says it all |
 * | 7 | TSX, AMX, PKU, CET shadow stacks, user interrupts off | state that cannot be saved everywhere, or needs a permission of the host process |
 * | 0xa, 0x80000022 | empty | performance counters are not part of a snapshot |
 * | 0xd | AMX, PKRU and supervisor components off | follows from leaf 7 |
 * | 0x14, 0x12, 0x1d, 0x1e | empty | processor trace, SGX and AMX tiles: not in a snapshot |
 * | 0x40000000 | highest leaf 0x40000010 | announces the timing leaf |
 * | 0x40000001 | only kvmclock, no-io-delay, PV IPIs and unhalt | KVM writes steal time, PV-EOI and async page faults into guest memory from the kernel, past write-protection |
 * | 0x40000010 | TSC and APIC bus frequency in kHz | guests need not calibrate; VMware's convention, which Linux reads |
 *
 * References: Intel SDM vol. 2A "CPUID", AMD APM vol. 3 appendix E, Documentation/virt/kvm/x86/cpuid.rst.
 */
import type { CpuidEntry } from '../../kvm/kvm.ts';
import { kvmCpuidEntry2 } from '../../kvm/layouts.ts';

/** In EDX: more than one logical processor in the package. */
const LEAF1_HTT = 1 << 28;
/** In ECX of 0x80000001: the logical processors are cores, not threads (AMD). */
const CORE_MULTIPROCESSING_LEGACY = 1 << 1;
const TOPOLOGY_LEAVES: readonly number[] = [0xb, 0x1f];
const SIGNIFICANT_INDEX = 1;
const Leaf1 = { MONITOR: 1 << 3, TSC_DEADLINE: 1 << 24, HYPERVISOR: 1 << 31 } as const;
const LEAF7_EBX_HIDDEN = (1 << 4) | (1 << 11) | (1 << 25) | (1 << 2); // HLE, RTM, processor trace, SGX
const LEAF7_ECX_HIDDEN = (1 << 3) | (1 << 4) | (1 << 5) | (1 << 7) | (1 << 30); // PKU, OSPKE, WAITPKG, SHSTK, SGX_LC
const LEAF7_EDX_HIDDEN = (1 << 5) | (1 << 20) | (1 << 22) | (1 << 24) | (1 << 25); // UINTR, IBT, AMX-BF16/TILE/INT8
const LEAF7_1_EAX_HIDDEN = 1 << 21; // AMX-FP16
/** x87, SSE, AVX and AVX-512: what every KVM_GET_XSAVE area of 4 KiB holds. */
const XCR0_KEPT = 0xe7;
const XSAVES = 1 << 3;
const KvmFeature = {
  CLOCKSOURCE: 1,
  NOP_IO_DELAY: 2,
  CLOCKSOURCE2: 8,
  PV_UNHALT: 0x80,
  PV_SEND_IPI: 0x800,
} as const;
const KVM_CLOCK_STABLE = 1 << 24;
const KVM_FEATURES_KEPT =
  KvmFeature.CLOCKSOURCE |
  KvmFeature.NOP_IO_DELAY |
  KvmFeature.CLOCKSOURCE2 |
  KvmFeature.PV_UNHALT |
  KvmFeature.PV_SEND_IPI |
  KVM_CLOCK_STABLE;
const TIMING_LEAF = 0x40000010;
/** The in-kernel LAPIC timer counts nanoseconds. */
const APIC_BUS_KHZ = 1_000_000;

export interface CpuidOptions {
  readonly vcpuId: number;
  readonly vcpuCount: number;
  readonly tsc_khz: number;
  readonly tscDeadlineTimer: boolean;
}

/** The leaves to be set on one vCPU. The input is not changed. */
export function guestCpuid(supported: readonly CpuidEntry[], options: CpuidOptions): CpuidEntry[] {
  const replaced = [TIMING_LEAF, ...TOPOLOGY_LEAVES];
  const entries = supported.filter(entry => !replaced.includes(entry.function)).map(copy);
  for (const entry of entries) adjust(entry, options);
  const topology = TOPOLOGY_LEAVES.filter(leaf => supported.some(entry => entry.function === leaf));
  entries.push(...topology.flatMap(leaf => topologyLevels(leaf, options)));
  const timing = kvmCpuidEntry2.allocate();
  timing.function = TIMING_LEAF;
  timing.eax = options.tsc_khz;
  timing.ebx = APIC_BUS_KHZ;
  return [...entries, timing];
}

function copy(entry: CpuidEntry): CpuidEntry {
  const clone = kvmCpuidEntry2.allocate();
  clone.bytes.set(entry.bytes);
  return clone;
}

function adjust(entry: CpuidEntry, { vcpuId, vcpuCount, tscDeadlineTimer }: CpuidOptions): void {
  switch (entry.function) {
    case 0x1:
      entry.ebx = (entry.ebx & 0x0000ffff) | (vcpuCount << 16) | (vcpuId << 24);
      entry.ecx = (entry.ecx & ~Leaf1.MONITOR & ~Leaf1.TSC_DEADLINE) | Leaf1.HYPERVISOR;
      if (tscDeadlineTimer) entry.ecx |= Leaf1.TSC_DEADLINE;
      entry.edx = vcpuCount > 1 ? entry.edx | LEAF1_HTT : entry.edx & ~LEAF1_HTT;
      return;
    case 0x4:
      // Bits 31:26 core ids a package minus 1, bits 25:14 threads that share the cache minus 1.
      entry.eax = (entry.eax & 0x00003fff) | (((2 ** idBits(vcpuCount) - 1) & 0x3f) << 26);
      return;
    case 0x7:
      adjustExtendedFeatures(entry);
      return;
    case 0xd:
      adjustXsave(entry);
      return;
    case 0xa:
    case 0x12:
    case 0x14:
    case 0x1d:
    case 0x1e:
    case 0x80000022:
    case 0x80000026:
      entry.eax = entry.ebx = entry.ecx = entry.edx = 0;
      return;
    case 0x40000000:
      entry.eax = TIMING_LEAF;
      return;
    case 0x40000001:
      entry.eax &= KVM_FEATURES_KEPT;
      return;
    case 0x80000001:
      if (vcpuCount > 1) entry.ecx |= CORE_MULTIPROCESSING_LEGACY;
      else entry.ecx &= ~CORE_MULTIPROCESSING_LEGACY;
      return;
    case 0x80000008:
      // ECX bits 7:0: cores minus 1; bits 15:12: how many bits of the APIC id tell cores apart (AMD).
      entry.ecx = (entry.ecx & ~0xf0ff) | (vcpuCount - 1) | (idBits(vcpuCount) << 12);
      return;
    case 0x8000001d:
      entry.eax &= ~(0xfff << 14);
      return;
    case 0x8000001e:
      entry.eax = vcpuId;
      entry.ebx = vcpuId;
      entry.ecx = 0;
      return;
  }
}

function adjustExtendedFeatures(entry: CpuidEntry): void {
  if (entry.index === 0) {
    entry.ebx &= ~LEAF7_EBX_HIDDEN;
    entry.ecx &= ~LEAF7_ECX_HIDDEN;
    entry.edx &= ~LEAF7_EDX_HIDDEN;
  } else if (entry.index === 1) {
    entry.eax &= ~LEAF7_1_EAX_HIDDEN;
  }
}

/** How many bits of an APIC id number so many processors. */
const idBits = (vcpuCount: number): number => Math.ceil(Math.log2(vcpuCount));

/** Level 0: threads of a core (one); level 1: cores of the package; level 2: the end. */
function topologyLevels(leaf: number, { vcpuId, vcpuCount }: CpuidOptions): CpuidEntry[] {
  const SMT = 1;
  const CORE = 2;
  const levels = [
    { shift: 0, processors: 1, type: SMT },
    { shift: idBits(vcpuCount), processors: vcpuCount, type: CORE },
    { shift: 0, processors: 0, type: 0 },
  ];
  return levels.map(({ shift, processors, type }, index) => {
    const entry = kvmCpuidEntry2.allocate();
    entry.function = leaf;
    entry.index = index;
    entry.flags = SIGNIFICANT_INDEX;
    entry.eax = shift;
    entry.ebx = processors;
    entry.ecx = index | (type << 8);
    entry.edx = vcpuId;
    return entry;
  });
}

function adjustXsave(entry: CpuidEntry): void {
  if (entry.index === 0) {
    entry.eax &= XCR0_KEPT;
    entry.edx = 0;
  } else if (entry.index === 1) {
    // Without XSAVES there are no supervisor components, whose state IA32_XSS would add to a snapshot.
    entry.eax &= ~XSAVES;
    entry.ecx = entry.edx = 0;
  } else if (entry.index >= 32 || ((XCR0_KEPT >>> entry.index) & 1) === 0) {
    entry.eax = entry.ebx = entry.ecx = entry.edx = 0;
  }
}
