import { TsvmmError } from '../errors.ts';

/**
 * A device on the port or memory bus. `offset` counts from the device's base; `size` is 1, 2, 4 or 8. Values travel
 * in `data` at `at`, little-endian, which is the exit's own buffer: nothing is allocated.
 */
export interface BusDevice {
  read(offset: number, size: number, data: DataView, at: number): void;
  write(offset: number, size: number, data: DataView, at: number): void;
}

interface Range {
  readonly base: number;
  readonly end: number;
  readonly device: BusDevice;
}

/** Address ranges of devices, looked up by binary search. */
export class Bus {
  private readonly ranges: Range[] = [];

  /** Throws TSVMM_E_INTERNAL when the range overlaps another: two devices would answer. */
  attach(base: number, length: number, device: BusDevice): void {
    const index = this.firstEndingAfter(base);
    const next = this.ranges[index];
    if (next !== undefined && next.base < base + length) {
      throw new TsvmmError('TSVMM_E_INTERNAL', `bus ranges overlap at 0x${base.toString(16)}`);
    }
    this.ranges.splice(index, 0, { base, end: base + length, device });
  }

  /** An address that no device claims reads as all ones, as on a PC. */
  read(address: number, size: number, data: DataView, at: number): void {
    const range = this.find(address, size);
    if (range === undefined) {
      for (let i = 0; i < size; i++) data.setUint8(at + i, 0xff);
    } else {
      range.device.read(address - range.base, size, data, at);
    }
  }

  /** A write that no device claims is ignored, as on a PC. */
  write(address: number, size: number, data: DataView, at: number): void {
    const range = this.find(address, size);
    range?.device.write(address - range.base, size, data, at);
  }

  private find(address: number, size: number): Range | undefined {
    const range = this.ranges[this.firstEndingAfter(address)];
    return range !== undefined && range.base <= address && address + size <= range.end ? range : undefined;
  }

  private firstEndingAfter(address: number): number {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.ranges[middle] as Range).end <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
