import { TsvmmError } from '../../errors.ts';
import { type Gpa, gpaOffset } from '../../memory/address.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { DescriptorChain } from './chain.ts';
import { AVAIL_NO_INTERRUPT, Descriptor, USED_NO_NOTIFY } from './constants.ts';
import type { QueueState } from './state.ts';

const MAXIMUM_CHAIN_BYTES = 2 ** 32 - 1;

/**
 * The device's side of a split virtqueue (virtio 1.2 section 2.7). Everything read from the guest is validated
 * before use; what a driver must not do makes pop() throw TSVMM_E_GUEST_MEMORY, upon which the device asks for a
 * reset. Positions live in the shared QueueState, so that they are right whenever the device's lock is free.
 */
export class VirtQueue {
  private readonly memory: GuestMemory;
  private readonly state: QueueState;
  private readonly size: number;
  private readonly descriptors: Gpa;
  private readonly available: Gpa;
  private readonly used: Gpa;
  private readonly eventIndex: boolean;
  private readonly indirect: boolean;

  /** Takes the addresses of a ready queue; throws TSVMM_E_GUEST_MEMORY if they are not in RAM or not aligned. */
  constructor(memory: GuestMemory, state: QueueState, options: { eventIndex: boolean; indirect: boolean }) {
    validateQueue(memory, state);
    this.memory = memory;
    this.state = state;
    this.size = state.size;
    this.descriptors = state.descriptors;
    this.available = state.driver;
    this.used = state.device;
    this.eventIndex = options.eventIndex;
    this.indirect = options.indirect;
  }

  /** Whether the driver has made buffers available that pop() has not taken yet. */
  get hasAvailable(): boolean {
    return this.memory.loadU16(gpaOffset(this.available, 2)) !== this.state.nextAvailable;
  }

  /** Takes the next request into `chain`; false when there is none. */
  pop(chain: DescriptorChain): boolean {
    const { state } = this;
    const next = state.nextAvailable;
    const pending = (this.memory.loadU16(gpaOffset(this.available, 2)) - next) & 0xffff;
    if (pending === 0) return false;
    if (pending > this.size) throw violation(`${pending} buffers made available in a queue of ${this.size}`);
    const slot = gpaOffset(this.available, 4 + 2 * (next & (this.size - 1)));
    this.load(chain, this.memory.readU16(slot));
    state.nextAvailable = (next + 1) & 0xffff;
    return true;
  }

  /** Gives the `count` most recently popped requests back, as if they had not been taken. */
  undoPop(count = 1): void {
    this.state.nextAvailable = (this.state.nextAvailable - count) & 0xffff;
  }

  /** Puts a finished request into the used ring, `written` bytes of it filled. publish() makes it visible. */
  push(head: number, written: number): void {
    const next = this.state.nextUsed;
    const slot = gpaOffset(this.used, 4 + 8 * (next & (this.size - 1)));
    this.memory.writeU32(slot, head);
    this.memory.writeU32(gpaOffset(slot, 4), written);
    this.state.nextUsed = (next + 1) & 0xffff;
  }

  /** Shows the pushed requests to the driver; true when it wants an interrupt for them (section 2.7.10). */
  publish(): boolean {
    const { state } = this;
    const now = state.nextUsed;
    const before = state.signalledUsed;
    this.memory.storeU16(gpaOffset(this.used, 2), now);
    state.signalledUsed = now;
    if (now === before) return false;
    if (!this.eventIndex) return (this.memory.loadU16(this.available) & AVAIL_NO_INTERRUPT) === 0;
    const event = this.memory.loadU16(gpaOffset(this.available, 4 + 2 * this.size));
    return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
  }

  /**
   * Asks the driver to notify us of new buffers; true when some came meanwhile, in which case the caller must look
   * again instead of sleeping. `known` buffers are available already and not enough: it is about those after them.
   */
  enableNotifications(known = 0): boolean {
    const awaited = (this.state.nextAvailable + known) & 0xffff;
    if (this.eventIndex) this.memory.storeU16(this.availableEvent, awaited);
    else this.memory.storeU16(this.used, 0);
    return this.memory.loadU16(gpaOffset(this.available, 2)) !== awaited;
  }

  /** Tells the driver not to notify us while we are looking anyway. */
  disableNotifications(): void {
    // With event-idx an avail_event that is left behind has this effect already (section 2.7.10).
    if (!this.eventIndex) this.memory.storeU16(this.used, USED_NO_NOTIFY);
  }

  private get availableEvent(): Gpa {
    return gpaOffset(this.used, 4 + 8 * this.size);
  }

  private load(chain: DescriptorChain, head: number): void {
    chain.reset(head);
    let table = this.descriptors;
    let entries = this.size;
    let index = head;
    let indirect = false;
    for (let steps = 0; ; steps++) {
      if (index >= entries) throw violation(`descriptor ${index} of ${entries}`);
      if (steps >= entries || chain.count >= chain.capacity)
        throw violation('a descriptor chain that does not end');
      const at = gpaOffset(table, index * Descriptor.SIZE);
      const address = this.memory.readU64(at) as Gpa;
      const length = this.memory.readU32(gpaOffset(at, 8));
      const flags = this.memory.readU16(gpaOffset(at, 12));
      if ((flags & Descriptor.INDIRECT) !== 0) {
        if (!this.indirect || indirect || (flags & Descriptor.NEXT) !== 0)
          throw violation('a misplaced indirect table');
        entries = this.indirectEntries(address, length);
        table = address;
        index = 0;
        indirect = true;
        steps = -1;
        continue;
      }
      this.append(chain, address, length, (flags & Descriptor.WRITE) !== 0);
      if ((flags & Descriptor.NEXT) === 0) return;
      index = this.memory.readU16(gpaOffset(at, 14));
    }
  }

  private indirectEntries(table: Gpa, length: number): number {
    if (length === 0 || length % Descriptor.SIZE !== 0)
      throw violation(`an indirect table of ${length} bytes`);
    if (!this.memory.contains(table, length)) throw violation('an indirect table outside of RAM');
    return length / Descriptor.SIZE;
  }

  private append(chain: DescriptorChain, address: Gpa, length: number, writable: boolean): void {
    if (!this.memory.contains(address, length)) {
      throw violation(`a buffer outside of RAM: 0x${address.toString(16)} + ${length}`);
    }
    if (!writable && chain.readableCount < chain.count)
      throw violation('a readable buffer after a writable one');
    chain.append(address, length, writable);
    if (chain.readableBytes + chain.writableBytes > MAXIMUM_CHAIN_BYTES)
      throw violation('a chain beyond 4 GiB');
  }
}

/** Checks size, alignment and place of a queue's three areas (section 2.7); throws TSVMM_E_GUEST_MEMORY. */
export function validateQueue(memory: GuestMemory, state: QueueState): void {
  const { size, descriptors, driver, device } = state;
  const areas = [
    { name: 'descriptor table', start: descriptors, alignment: 16, length: Descriptor.SIZE * size },
    { name: 'available ring', start: driver, alignment: 2, length: 6 + 2 * size },
    { name: 'used ring', start: device, alignment: 4, length: 6 + 8 * size },
  ];
  if (size === 0 || (size & (size - 1)) !== 0) throw violation(`a queue of ${size} entries`);
  for (const { name, start, alignment, length } of areas) {
    if (start % alignment !== 0 || !memory.contains(start, length)) {
      throw violation(`${name} at 0x${start.toString(16)}`);
    }
  }
}

const violation = (what: string) =>
  new TsvmmError('TSVMM_E_GUEST_MEMORY', `the driver broke the virtqueue rules: ${what}`);
