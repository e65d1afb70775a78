import { blockModel, RequestType } from '../../vmm/devices/virtio/block/model.ts';
import { type Gpa, gpaOffset } from '../../vmm/memory/address.ts';
import { type DriverQueue, FakeDevice, FakeGuest } from './virtio-driver.ts';

const HEADER_BYTES = 16;

/** A request that was made, and where its parts are in guest memory. */
interface Pending {
  readonly data: Gpa;
  readonly length: number;
  readonly status: Gpa;
}

export interface Completion {
  readonly status: number;
  /** As the used ring says. */
  readonly written: number;
  /** What is in the request's data buffer now. */
  readonly data: Uint8Array;
}

export interface RequestShape {
  /** The data is cut into buffers of these lengths; the rest is one more. */
  readonly pieces?: readonly number[];
  readonly indirect?: boolean;
}

/** The driver of a block device: builds requests, one data buffer area each, and reads what became of them. */
export class BlockDriver {
  readonly guest: FakeGuest;
  readonly device: FakeDevice;
  private readonly areaBytes: number;
  private readonly areas: Gpa[] = [];
  private readonly pending = new Map<number, Pending & { area: Gpa }>();

  /** `areaBytes` bounds a request's data, `areaCount` the requests under way. */
  constructor({
    sectorCount,
    readOnly = false,
    areaBytes = 256 * 1024,
    areaCount = 8,
  }: {
    sectorCount: number;
    readOnly?: boolean;
    areaBytes?: number;
    areaCount?: number;
  }) {
    const needed = areaCount * (areaBytes + 4096) + 1024 * 1024;
    this.guest = new FakeGuest(Math.ceil(needed / (2 * 1024 * 1024)) * 2 * 1024 * 1024);
    this.device = new FakeDevice(this.guest, blockModel({ sectorCount, readOnly }), 'vm/disk0');
    this.areaBytes = areaBytes;
    for (let i = 0; i < areaCount; i++) this.areas.push(this.guest.allocate(areaBytes + 4096, 4096));
  }

  initialize(options?: { without?: bigint; queueSize?: number }): void {
    this.device.initialize(options);
  }

  get queue(): DriverQueue {
    return this.device.queues[0] as DriverQueue;
  }

  get canSubmit(): boolean {
    return this.areas.length > 0;
  }

  read(sector: number, length: number, shape?: RequestShape): number {
    return this.submit(RequestType.IN, sector, { length, writable: true, ...shape });
  }

  write(sector: number, data: Uint8Array, shape?: RequestShape): number {
    return this.submit(RequestType.OUT, sector, { data, length: data.length, writable: false, ...shape });
  }

  flush(): number {
    return this.submit(RequestType.FLUSH, 0, { length: 0, writable: false });
  }

  /** DISCARD or WRITE_ZEROES of ranges of sectors. */
  changeRanges(type: number, ranges: readonly { sector: number; count: number; flags?: number }[]): number {
    const data = new Uint8Array(16 * ranges.length);
    const view = new DataView(data.buffer);
    for (const [i, { sector, count, flags = 0 }] of ranges.entries()) {
      view.setBigUint64(16 * i, BigInt(sector), true);
      view.setUint32(16 * i + 8, count, true);
      view.setUint32(16 * i + 12, flags, true);
    }
    return this.submit(type, 0, { data, length: data.length, writable: false });
  }

  /** Puts a request into the queue; the caller kicks. */
  submit(
    type: number,
    sector: number,
    {
      data,
      length,
      writable,
      pieces = [],
      indirect = false,
    }: RequestShape & { data?: Uint8Array; length: number; writable: boolean },
  ): number {
    const area = this.areas.pop();
    if (area === undefined || length > this.areaBytes) throw new Error('no room for another request');
    const header = area;
    const status = gpaOffset(area, HEADER_BYTES);
    const start = gpaOffset(area, 4096);
    const { memory } = this.guest;
    memory.writeU32(header, type);
    memory.writeU32(gpaOffset(header, 4), 0);
    memory.writeU64(gpaOffset(header, 8), sector);
    memory.writeU8(status, 0xff);
    if (data !== undefined) memory.copyIn(start, data);
    const buffers = [];
    for (let at = 0, i = 0; at < length; i++) {
      const piece = Math.min(pieces[i] ?? length, length - at);
      buffers.push({ at: gpaOffset(start, at), length: piece });
      at += piece;
    }
    const head = this.queue.add(
      [{ at: header, length: HEADER_BYTES }, ...(writable ? [] : buffers)],
      [...(writable ? buffers : []), { at: status, length: 1 }],
      { indirect },
    );
    this.pending.set(head, { data: start, length, status, area });
    return head;
  }

  kick(): void {
    this.queue.kick();
  }

  /** The next finished request, if there is one. */
  take(): (Completion & { head: number }) | undefined {
    const used = this.queue.takeUsed();
    if (used === undefined) return undefined;
    const request = this.pending.get(used.head);
    if (request === undefined) throw new Error(`the device finished ${used.head}, which is not under way`);
    this.pending.delete(used.head);
    this.areas.push(request.area);
    return {
      head: used.head,
      written: used.written,
      status: this.guest.memory.readU8(request.status),
      data: this.guest.bytes(request.data, request.length),
    };
  }

  close(): void {
    this.device.close();
    this.guest.free();
  }
}
