import type { VectorLayout } from '../../../../../vmm/arch/x86_64/decode/vector-index.ts';

/** As Intel's processors have it; AMD's leave out what they do not have. */
export const CPU_VECTOR_LAYOUT: VectorLayout = { ymmHigh: 576, zmmHigh: 1152, zmm16: 1664 };
const XMM = 160;

/**
 * An XSAVE area with the vector registers of cpu-harness.c: 0 to 3 are all ones, 4 to 15 hold the 32-bit indices
 * 0, 64, 128 ..., 16 to 31 the same as 64-bit ones.
 */
export const vectorArea: DataView = createVectorArea();

function createVectorArea(): DataView {
  const area = new Uint8Array(2688);
  for (let register = 0; register < 32; register++) {
    const lanes = lanesOf(register);
    if (register >= 16) area.set(lanes, CPU_VECTOR_LAYOUT.zmm16 + 64 * (register - 16));
    else {
      area.set(lanes.subarray(0, 16), XMM + 16 * register);
      area.set(lanes.subarray(16, 32), CPU_VECTOR_LAYOUT.ymmHigh + 16 * register);
      area.set(lanes.subarray(32), CPU_VECTOR_LAYOUT.zmmHigh + 32 * register);
    }
  }
  return new DataView(area.buffer);
}

function lanesOf(register: number): Uint8Array {
  if (register < 4) return new Uint8Array(64).fill(0xff);
  const lanes =
    register < 16
      ? Uint32Array.from({ length: 16 }, (_, i) => 64 * i)
      : BigUint64Array.from({ length: 8 }, (_, i) => 64n * BigInt(i));
  return new Uint8Array(lanes.buffer);
}
