import type { ViewOf } from '../../ffi/struct.ts';
import type { kvmSegment, kvmSregs } from '../../kvm/layouts.ts';

type Segment = ViewOf<typeof kvmSegment>;

/** Segment types, Intel SDM vol. 3A section 3.4.5.1 and 3.5. */
const CODE_EXECUTE_READ_ACCESSED = 11;
const DATA_READ_WRITE_ACCESSED = 3;
const BUSY_TSS = 11;

function setFlat(segment: Segment, selector: number, type: number): void {
  segment.base = 0n;
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.dpl = 0;
  segment.db = 1;
  segment.s = 1;
  segment.l = 0;
  segment.g = 1;
}

/** Flat 32-bit segments, as PVH and the Linux boot protocol ask for. */
export function setFlatSegments(sregs: ViewOf<typeof kvmSregs>): void {
  setFlat(sregs.cs, 0x08, CODE_EXECUTE_READ_ACCESSED);
  for (const segment of [sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss]) {
    setFlat(segment, 0x10, DATA_READ_WRITE_ACCESSED);
  }
  sregs.tr.base = 0n;
  sregs.tr.limit = 0x67;
  sregs.tr.type = BUSY_TSS;
  sregs.tr.present = 1;
  sregs.tr.s = 0;
}
