/**
 * Counters of one disk in shared memory: written by its thread alone, read by anybody at any time. Doubles, because
 * bytes outgrow 32 bits, and an aligned double is stored by one instruction on the 64-bit machines that KVM runs on.
 */
const names = [
  'read_count',
  'read_bytes',
  'write_count',
  'write_bytes',
  'flush_count',
  'discard_count',
  /** Blocks that were completed from the layers below because the guest wrote a part of them. */
  'copied_block_count',
  /** Times that the host's disk had to be waited for. */
  'wait_count',
  'error_count',
] as const;

export type DiskCounter = (typeof names)[number];
export type DiskStatsReport = Record<DiskCounter, number>;

export const Counter = Object.fromEntries(names.map((name, index) => [name, index])) as Record<
  DiskCounter,
  number
>;

export class DiskStats {
  readonly buffer: SharedArrayBuffer;
  private readonly counters: Float64Array;

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(names.length * 8);
  }

  constructor(buffer: SharedArrayBuffer = DiskStats.allocate()) {
    this.buffer = buffer;
    this.counters = new Float64Array(buffer);
  }

  add(counter: number, value: number): void {
    this.counters[counter] = (this.counters[counter] as number) + value;
  }

  report(): DiskStatsReport {
    return Object.fromEntries(names.map((name, index) => [name, this.counters[index]])) as DiskStatsReport;
  }
}
