/** What KVM_GET_SUPPORTED_CPUID says of one leaf, as far as it is needed here. */
interface CpuidLeaf {
  readonly function: number;
  readonly index: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
}

/** One state component: SDM vol. 1, section 13.2 and 13.4. */
export interface XsaveComponent {
  readonly number: number;
  readonly size: number;
  /** In the standard format. */
  readonly offset: number;
  /** In the compacted format it begins at a multiple of 64. */
  readonly aligned: boolean;
}

/** The components behind x87 and SSE that this processor has, in order. */
export type XsaveLayout = readonly XsaveComponent[];

const XSAVE_LEAF = 0xd;
const COMPONENTS = 63;
const SUPERVISOR = 1;
const ALIGNED = 2;
/** struct kvm_xsave holds no more. */
const AREA_BYTES = 4096;

/** Reads the layout from CPUID leaf 0DH, without supervisor components and those that KVM_GET_XSAVE has no room for. */
export function xsaveLayout(cpuid: readonly CpuidLeaf[]): XsaveLayout {
  return cpuid
    .filter(leaf => leaf.function === XSAVE_LEAF && leaf.index >= 2 && leaf.index < COMPONENTS)
    .filter(({ eax, ebx, ecx }) => eax > 0 && (ecx & SUPERVISOR) === 0 && eax + ebx <= AREA_BYTES)
    .map(({ index, eax, ebx, ecx }) => ({
      number: index,
      size: eax,
      offset: ebx,
      aligned: (ecx & ALIGNED) !== 0,
    }))
    .sort((a, b) => a.number - b.number);
}
