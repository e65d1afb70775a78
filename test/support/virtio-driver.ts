/**
 * A guest without a CPU, to test virtio devices without /dev/kvm: RAM, the device's registers as a vCPU would use
 * them, and the driver's side of split virtqueues (virtio 1.2 section 2.7), indirect tables and event-idx included.
 */
import { Feature, Status } from '../../vmm/devices/virtio/constants.ts';
import { VirtioMmio } from '../../vmm/devices/virtio/mmio.ts';
import { offeredFeatures, type VirtioModel } from '../../vmm/devices/virtio/model.ts';
import type { DeviceAttachment } from '../../vmm/devices/virtio/served-device.ts';
import { VirtioState } from '../../vmm/devices/virtio/state.ts';
import type { EventLoop } from '../../vmm/io/event-loop.ts';
import { closeEventFd, createEventFd, drainEventFd, signalEventFd } from '../../vmm/io/eventfd.ts';
import { alignUp, type Gpa, gpa, gpaOffset, HUGE_PAGE_SIZE } from '../../vmm/memory/address.ts';
import { GuestMemory } from '../../vmm/memory/guest-memory.ts';
import { allocateRam, type Ram } from '../../vmm/memory/ram.ts';

/** Page 0 stays free, so that 0 is never a valid address. */
const FIRST_ADDRESS = 4096;

/** Guest RAM and a simple allocator over it. */
export class FakeGuest {
  readonly ram: Ram;
  readonly memory: GuestMemory;
  private next = FIRST_ADDRESS;

  constructor(length = 2 * HUGE_PAGE_SIZE, ram = allocateRam(length, { hugePages: false })) {
    this.ram = ram;
    this.memory = new GuestMemory(this.ram);
  }

  allocate(length: number, alignment = 16): Gpa {
    const at = alignUp(this.next, alignment);
    if (at + length > this.ram.length) throw new Error('the fake guest is out of memory');
    this.next = at + length;
    return gpa(at);
  }

  /** Where the next allocation begins at the earliest. */
  get mark(): number {
    return this.next;
  }

  /** Forgets all allocations since `mark` was read, and what was in them. */
  rewind(mark = FIRST_ADDRESS): void {
    this.memory.copyIn(gpa(mark), new Uint8Array(this.next - mark));
    this.next = mark;
  }

  bytes(at: Gpa, length: number): Uint8Array {
    const out = new Uint8Array(length);
    this.memory.copyOut(at, out);
    return out;
  }

  free(): void {
    this.ram.free();
  }
}

export interface GuestBuffer {
  readonly at: Gpa;
  readonly length: number;
}

/** Registers of virtio 1.2 section 4.2.2 that a driver needs. */
const Register = {
  DEVICE_FEATURES: 0x10,
  DEVICE_FEATURES_SELECT: 0x14,
  DRIVER_FEATURES: 0x20,
  DRIVER_FEATURES_SELECT: 0x24,
  QUEUE_SELECT: 0x30,
  QUEUE_SIZE: 0x38,
  QUEUE_READY: 0x44,
  INTERRUPT_STATUS: 0x60,
  INTERRUPT_ACK: 0x64,
  STATUS: 0x70,
  QUEUE_DESCRIPTORS: 0x80,
  QUEUE_DRIVER: 0x90,
  QUEUE_DEVICE: 0xa0,
  CONFIG: 0x100,
} as const;

/** A virtio device as its driver sees it. What serves the device is given `attachment`. */
export class FakeDevice {
  readonly attachment: DeviceAttachment;
  readonly state: VirtioState;
  readonly queues: DriverQueue[] = [];
  private readonly guest: FakeGuest;
  private readonly model: VirtioModel;
  private readonly mmio: VirtioMmio;
  private readonly data = new DataView(new ArrayBuffer(8));

  constructor(guest: FakeGuest, model: VirtioModel, name = 'vm/device') {
    this.guest = guest;
    this.model = model;
    const buffer = VirtioState.allocate(model);
    this.state = new VirtioState(buffer, model);
    this.attachment = {
      name,
      model,
      state: buffer,
      queueEventFds: model.queueSizes.map(() => createEventFd()),
      interruptEventFd: createEventFd(),
    };
    this.mmio = new VirtioMmio(this.state, model, guest.memory, {
      notify: index => signalEventFd(this.attachment.queueEventFds[index] as number),
      activationChanged: () => {},
      interrupt: () => signalEventFd(this.attachment.interruptEventFd),
    });
  }

  /** Initializes the device (section 3.1.1) with all offered features but `without`. Throws if it refuses. */
  initialize({ without = 0n, queueSize }: { without?: bigint; queueSize?: number } = {}): void {
    this.setStatus(0);
    this.setStatus(Status.ACKNOWLEDGE | Status.DRIVER);
    const features = offeredFeatures(this.model) & ~without;
    for (const page of [0, 1]) {
      this.writeRegister(Register.DRIVER_FEATURES_SELECT, page);
      this.writeRegister(Register.DRIVER_FEATURES, Number((features >> BigInt(32 * page)) & 0xffffffffn));
    }
    const negotiated = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK;
    this.setStatus(negotiated);
    if ((this.status & Status.FEATURES_OK) === 0) throw new Error('the device refused the features');
    this.queues.length = 0;
    for (const [index, maximum] of this.model.queueSizes.entries())
      this.queues.push(this.setUpQueue(index, Math.min(queueSize ?? maximum, maximum), features));
    this.setStatus(negotiated | Status.DRIVER_OK);
  }

  get status(): number {
    return this.readRegister(Register.STATUS);
  }

  get needsReset(): boolean {
    return (this.status & Status.NEEDS_RESET) !== 0;
  }

  setStatus(status: number): void {
    this.writeRegister(Register.STATUS, status);
  }

  /** Whether the device has interrupted since the last call; acknowledges what it was about. */
  takeInterrupt(): boolean {
    this.writeRegister(Register.INTERRUPT_ACK, this.readRegister(Register.INTERRUPT_STATUS));
    return drainEventFd(this.attachment.interruptEventFd);
  }

  config(length: number): Uint8Array {
    return Uint8Array.from({ length }, (_, at) => {
      this.mmio.read(Register.CONFIG + at, 1, this.data, 0);
      return this.data.getUint8(0);
    });
  }

  readRegister(register: number): number {
    this.mmio.read(register, 4, this.data, 0);
    return this.data.getUint32(0, true);
  }

  writeRegister(register: number, value: number): void {
    this.data.setUint32(0, value, true);
    this.mmio.write(register, 4, this.data, 0);
  }

  close(): void {
    for (const fd of [...this.attachment.queueEventFds, this.attachment.interruptEventFd]) closeEventFd(fd);
  }

  private setUpQueue(index: number, size: number, features: bigint): DriverQueue {
    const queue = new DriverQueue(this.guest, size, this.attachment.queueEventFds[index] as number, {
      eventIndex: (features & Feature.EVENT_IDX) !== 0n,
      indirect: (features & Feature.INDIRECT_DESC) !== 0n,
    });
    this.writeRegister(Register.QUEUE_SELECT, index);
    this.writeRegister(Register.QUEUE_SIZE, size);
    for (const [register, address] of [
      [Register.QUEUE_DESCRIPTORS, queue.descriptors],
      [Register.QUEUE_DRIVER, queue.available],
      [Register.QUEUE_DEVICE, queue.used],
    ] as const) {
      this.writeRegister(register, address % 2 ** 32);
      this.writeRegister(register + 4, Math.floor(address / 2 ** 32));
    }
    this.writeRegister(Register.QUEUE_READY, 1);
    return queue;
  }
}

const DESCRIPTOR_SIZE = 16;
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

/** The driver's side of one split virtqueue. */
export class DriverQueue {
  readonly size: number;
  readonly descriptors: Gpa;
  readonly available: Gpa;
  readonly used: Gpa;
  private readonly guest: FakeGuest;
  private readonly eventFd: number;
  private readonly eventIndex: boolean;
  private readonly canUseIndirect: boolean;
  private readonly freeDescriptors: number[];
  private readonly chains = new Map<number, number[]>();
  /** One indirect table for each descriptor that may point to it. */
  private readonly tables: (Gpa | undefined)[] = [];
  private nextAvailable = 0;
  private kickedAt = 0;
  private nextUsed = 0;

  constructor(
    guest: FakeGuest,
    size: number,
    eventFd: number,
    { eventIndex, indirect }: { eventIndex: boolean; indirect: boolean },
  ) {
    this.guest = guest;
    this.size = size;
    this.eventFd = eventFd;
    this.eventIndex = eventIndex;
    this.canUseIndirect = indirect;
    this.descriptors = guest.allocate(DESCRIPTOR_SIZE * size, 4096);
    this.available = guest.allocate(6 + 2 * size);
    this.used = guest.allocate(6 + 8 * size);
    this.freeDescriptors = Array.from({ length: size }, (_, index) => size - 1 - index);
  }

  /** Descriptors that no request uses. */
  get freeCount(): number {
    return this.freeDescriptors.length;
  }

  /** Makes a request available and returns what takeUsed() will name it by. `indirect` puts it into a table. */
  add(readable: readonly GuestBuffer[], writable: readonly GuestBuffer[], { indirect = false } = {}): number {
    const buffers = [
      ...readable.map(buffer => ({ ...buffer, flags: 0 })),
      ...writable.map(buffer => ({ ...buffer, flags: WRITE })),
    ];
    const head = indirect && this.canUseIndirect ? this.addIndirect(buffers) : this.addDirect(buffers);
    this.makeAvailable(head);
    return head;
  }

  /** Puts any descriptor index into the available ring, for drivers that break the rules. */
  makeAvailable(head: number): void {
    const slot = gpaOffset(this.available, 4 + 2 * (this.nextAvailable % this.size));
    this.guest.memory.writeU16(slot, head);
    this.setAvailableIndex(this.nextAvailable + 1);
  }

  setAvailableIndex(index: number): void {
    this.nextAvailable = index & 0xffff;
    this.guest.memory.storeU16(gpaOffset(this.available, 2), this.nextAvailable);
  }

  /** Notifies the device unless it asked not to be (section 2.7.10.2); whether it did. */
  kick(): boolean {
    const { memory } = this.guest;
    const before = this.kickedAt;
    this.kickedAt = this.nextAvailable;
    const event = memory.loadU16(gpaOffset(this.used, 4 + 8 * this.size));
    const wanted = this.eventIndex
      ? ((this.nextAvailable - event - 1) & 0xffff) < ((this.nextAvailable - before) & 0xffff)
      : (memory.loadU16(this.used) & 1) === 0;
    if (wanted) signalEventFd(this.eventFd);
    return wanted;
  }

  /** The next finished request, if there is one; its descriptors are free again. */
  takeUsed(): { head: number; written: number } | undefined {
    const { memory } = this.guest;
    if (memory.loadU16(gpaOffset(this.used, 2)) === this.nextUsed) return undefined;
    const slot = gpaOffset(this.used, 4 + 8 * (this.nextUsed % this.size));
    this.nextUsed = (this.nextUsed + 1) & 0xffff;
    const head = memory.readU32(slot);
    this.freeDescriptors.push(...(this.chains.get(head) ?? []));
    this.chains.delete(head);
    return { head, written: memory.readU32(gpaOffset(slot, 4)) };
  }

  /** With event-idx: asks for an interrupt once `count` more requests are finished. */
  wantInterruptAfter(count = 1): void {
    this.guest.memory.storeU16(
      gpaOffset(this.available, 4 + 2 * this.size),
      (this.nextUsed + count - 1) & 0xffff,
    );
  }

  writeDescriptor(table: Gpa, index: number, { at, length, flags, next }: GuestDescriptor): void {
    const { memory } = this.guest;
    const entry = gpaOffset(table, index * DESCRIPTOR_SIZE);
    memory.writeU64(entry, at);
    memory.writeU32(gpaOffset(entry, 8), length);
    memory.writeU16(gpaOffset(entry, 12), flags);
    memory.writeU16(gpaOffset(entry, 14), next);
  }

  private addDirect(buffers: readonly (GuestBuffer & { flags: number })[]): number {
    const indices = this.takeDescriptors(buffers.length);
    for (const [i, buffer] of buffers.entries()) {
      const last = i === buffers.length - 1;
      this.writeDescriptor(this.descriptors, indices[i] as number, {
        ...buffer,
        flags: buffer.flags | (last ? 0 : NEXT),
        next: last ? 0 : (indices[i + 1] as number),
      });
    }
    return indices[0] as number;
  }

  private addIndirect(buffers: readonly (GuestBuffer & { flags: number })[]): number {
    const [head] = this.takeDescriptors(1) as [number];
    const table = this.tables[head] ?? this.guest.allocate(DESCRIPTOR_SIZE * this.size);
    this.tables[head] = table;
    for (const [i, buffer] of buffers.entries()) {
      const last = i === buffers.length - 1;
      this.writeDescriptor(table, i, { ...buffer, flags: buffer.flags | (last ? 0 : NEXT), next: i + 1 });
    }
    const length = buffers.length * DESCRIPTOR_SIZE;
    this.writeDescriptor(this.descriptors, head, { at: table, length, flags: INDIRECT, next: 0 });
    return head;
  }

  private takeDescriptors(count: number): number[] {
    if (count === 0 || count > this.freeDescriptors.length) throw new Error('out of descriptors');
    const indices = this.freeDescriptors.splice(-count).reverse();
    this.chains.set(indices[0] as number, indices);
    return indices;
  }
}

export interface GuestDescriptor extends GuestBuffer {
  readonly flags: number;
  readonly next: number;
}

/** Lets an event loop of the calling thread handle the events that are there now. */
export function pump(loop: EventLoop): void {
  loop.onBeforeSleep(() => {
    loop.stop();
    return 0;
  });
  loop.run();
}
