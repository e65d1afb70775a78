import { type CpuContext, Segment } from './cpu-context.ts';

/**
 * A 64-bit address under computation, as two signed 32-bit halves: those are small integers to V8, so that nothing is
 * allocated.
 */
export class Address {
  low = 0;
  high = 0;

  set(low: number, high: number): void {
    this.low = low | 0;
    this.high = high | 0;
  }

  add(low: number, high: number): void {
    const sum = (this.low >>> 0) + (low >>> 0);
    this.low = sum | 0;
    this.high = (this.high + high + (sum > 0xffff_ffff ? 1 : 0)) | 0;
  }

  /** `bytes` is not negative. */
  subtract(bytes: number): void {
    const low = bytes | 0;
    const difference = (this.low >>> 0) - (low >>> 0);
    this.low = difference | 0;
    this.high = (this.high - Math.floor(bytes / 2 ** 32) - (difference < 0 ? 1 : 0)) | 0;
  }

  /** Adds a register of the context, shifted left by at most 3. */
  addRegister({ registers }: CpuContext, register: number, shift: number): void {
    const low = registers[2 * register] as number;
    const high = registers[2 * register + 1] as number;
    if (shift === 0) this.add(low | 0, high | 0);
    else this.add(low << shift, (high << shift) | (low >>> (32 - shift)));
  }

  /** Keeps the low `bits`. */
  truncate(bits: number): void {
    if (bits === 64) return;
    this.high = 0;
    if (bits === 16) this.low &= 0xffff;
  }

  /** From an offset in `segment` to a linear address: SDM vol. 1, section 3.4.2.1 and vol. 3, section 3.2. */
  linearize({ codeBits, segmentBases }: CpuContext, segment: number): void {
    if (codeBits === 64 && segment < Segment.FS) return;
    this.add((segmentBases[2 * segment] as number) | 0, (segmentBases[2 * segment + 1] as number) | 0);
    if (codeBits !== 64) this.high = 0;
  }
}
