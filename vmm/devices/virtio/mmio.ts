import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { BusDevice } from '../bus.ts';
import { Interrupt, Status } from './constants.ts';
import { offeredFeatures, type VirtioModel } from './model.ts';
import { validateQueue } from './queue.ts';
import { AddressHalf, type VirtioState } from './state.ts';

/** Registers of the transport, virtio 1.2 section 4.2.2. */
const Register = {
  MAGIC: 0x000,
  VERSION: 0x004,
  DEVICE_ID: 0x008,
  VENDOR_ID: 0x00c,
  DEVICE_FEATURES: 0x010,
  DEVICE_FEATURES_SELECT: 0x014,
  DRIVER_FEATURES: 0x020,
  DRIVER_FEATURES_SELECT: 0x024,
  QUEUE_SELECT: 0x030,
  QUEUE_SIZE_MAX: 0x034,
  QUEUE_SIZE: 0x038,
  QUEUE_READY: 0x044,
  QUEUE_NOTIFY: 0x050,
  INTERRUPT_STATUS: 0x060,
  INTERRUPT_ACK: 0x064,
  STATUS: 0x070,
  QUEUE_DESCRIPTORS_LOW: 0x080,
  QUEUE_DESCRIPTORS_HIGH: 0x084,
  QUEUE_DRIVER_LOW: 0x090,
  QUEUE_DRIVER_HIGH: 0x094,
  QUEUE_DEVICE_LOW: 0x0a0,
  QUEUE_DEVICE_HIGH: 0x0a4,
  SHARED_MEMORY_LENGTH_LOW: 0x0b0,
  SHARED_MEMORY_BASE_HIGH: 0x0bc,
  CONFIG_GENERATION: 0x0fc,
  CONFIG: 0x100,
} as const;

const MAGIC = 0x74726976; // "virt"
const VERSION = 2;
/** "TSVM": also tells our own guest that interrupts are edges, which need no acknowledging. */
export const VENDOR_ID = 0x4d565354;

export const REGISTER_BLOCK_SIZE = 0x1000;
export const QUEUE_NOTIFY_OFFSET = Register.QUEUE_NOTIFY;

const addressHalves: ReadonlyMap<number, AddressHalf> = new Map([
  [Register.QUEUE_DESCRIPTORS_LOW, AddressHalf.DESCRIPTORS_LOW],
  [Register.QUEUE_DESCRIPTORS_HIGH, AddressHalf.DESCRIPTORS_HIGH],
  [Register.QUEUE_DRIVER_LOW, AddressHalf.DRIVER_LOW],
  [Register.QUEUE_DRIVER_HIGH, AddressHalf.DRIVER_HIGH],
  [Register.QUEUE_DEVICE_LOW, AddressHalf.DEVICE_LOW],
  [Register.QUEUE_DEVICE_HIGH, AddressHalf.DEVICE_HIGH],
]);

/** What the transport sets off outside of its registers. */
export interface MmioEffects {
  /** The driver notified queue `index` by an exit (normally an ioeventfd catches it in the kernel). */
  notify(index: number): void;
  /** Status became DRIVER_OK, or the device was reset. */
  activationChanged(): void;
  /** An interrupt is due after InterruptStatus was set. */
  interrupt(): void;
}

/** The virtio-mmio register block of one device, version 2 (virtio 1.2 section 4.2), as the vCPUs see it. */
export class VirtioMmio implements BusDevice {
  private readonly state: VirtioState;
  private readonly model: VirtioModel;
  private readonly memory: GuestMemory;
  private readonly effects: MmioEffects;

  constructor(state: VirtioState, model: VirtioModel, memory: GuestMemory, effects: MmioEffects) {
    this.state = state;
    this.model = model;
    this.memory = memory;
    this.effects = effects;
  }

  read(offset: number, size: number, data: DataView, at: number): void {
    if (offset >= Register.CONFIG) {
      this.readConfig(offset - Register.CONFIG, size, data, at);
      return;
    }
    for (let i = 0; i < size; i++) data.setUint8(at + i, 0);
    // Section 4.2.2.2: the driver uses aligned 32-bit accesses for registers; others read as 0.
    if (size === 4 && offset % 4 === 0) data.setUint32(at, this.readRegister(offset), true);
  }

  write(offset: number, size: number, data: DataView, at: number): void {
    this.state.lock.acquire();
    try {
      if (offset >= Register.CONFIG) this.writeConfig(offset - Register.CONFIG, size, data, at);
      else if (size === 4 && offset % 4 === 0) this.writeRegister(offset, data.getUint32(at, true));
    } finally {
      this.state.lock.release();
    }
  }

  private readRegister(register: number): number {
    const { state, model } = this;
    switch (register) {
      case Register.MAGIC:
        return MAGIC;
      case Register.VERSION:
        return VERSION;
      case Register.DEVICE_ID:
        return model.deviceId;
      case Register.VENDOR_ID:
        return VENDOR_ID;
      case Register.DEVICE_FEATURES:
        return this.deviceFeaturesPage();
      case Register.QUEUE_SIZE_MAX:
        return model.queueSizes[state.queueSelect] ?? 0;
      case Register.QUEUE_READY:
        return state.selectedQueue?.ready ? 1 : 0;
      case Register.INTERRUPT_STATUS:
        return state.interruptStatus;
      case Register.STATUS:
        return state.status;
      case Register.CONFIG_GENERATION:
        return state.configGeneration >>> 0;
    }
    // Section 4.2.2: shared memory regions that do not exist have length and base of all ones.
    if (register >= Register.SHARED_MEMORY_LENGTH_LOW && register <= Register.SHARED_MEMORY_BASE_HIGH)
      return 0xffffffff;
    return 0;
  }

  private writeRegister(register: number, value: number): void {
    const { state } = this;
    switch (register) {
      case Register.DEVICE_FEATURES_SELECT:
        state.deviceFeaturesSelect = value;
        return;
      case Register.DRIVER_FEATURES_SELECT:
        state.driverFeaturesSelect = value;
        return;
      case Register.DRIVER_FEATURES:
        if ((state.status & Status.FEATURES_OK) === 0)
          state.setDriverFeaturesPage(state.driverFeaturesSelect, value);
        return;
      case Register.QUEUE_SELECT:
        state.queueSelect = value;
        return;
      case Register.QUEUE_NOTIFY:
        if (value < state.queues.length) this.effects.notify(value);
        return;
      case Register.INTERRUPT_ACK:
        state.acknowledgeInterrupt(value);
        return;
      case Register.STATUS:
        this.writeStatus(value & 0xff);
        return;
      default:
        this.writeQueueRegister(register, value);
    }
  }

  private writeQueueRegister(register: number, value: number): void {
    const queue = this.state.selectedQueue;
    if (queue === undefined) return;
    if (register === Register.QUEUE_READY) {
      this.setQueueReady(value === 1);
      return;
    }
    // Section 4.2.2.2: queue registers are written only while the queue is not ready.
    if (queue.ready) return;
    const half = addressHalves.get(register);
    if (half !== undefined) queue.setAddressHalf(half, value);
    else if (register === Register.QUEUE_SIZE) this.setQueueSize(value);
  }

  private setQueueSize(entries: number): void {
    const { state, model } = this;
    const maximum = model.queueSizes[state.queueSelect] as number;
    const queue = state.selectedQueue;
    if (queue === undefined) return;
    if (entries === 0 || entries > maximum || (entries & (entries - 1)) !== 0) this.needsReset();
    else queue.size = entries;
  }

  private setQueueReady(ready: boolean): void {
    const queue = this.state.selectedQueue;
    if (queue === undefined || queue.ready === ready) return;
    if (ready) {
      try {
        validateQueue(this.memory, queue);
      } catch {
        this.needsReset();
        return;
      }
    }
    queue.ready = ready;
    this.state.noteActivation();
  }

  /**
   * Sections 2.1.1 and 3.1.1: bits are only ever added, or all taken back by writing 0. A driver that goes on without
   * agreed features must begin anew: the device may rely on them while it lives.
   */
  private writeStatus(status: number): void {
    const { state } = this;
    if (status === 0) {
      state.reset(this.model);
      this.effects.activationChanged();
      return;
    }
    let accepted = status | state.status;
    const wantsFeatures = (accepted & ~state.status & Status.FEATURES_OK) !== 0;
    if (wantsFeatures && !this.featuresAcceptable()) accepted &= ~Status.FEATURES_OK;
    const goesLive = (accepted & ~state.status & Status.DRIVER_OK) !== 0;
    if (goesLive && (accepted & Status.FEATURES_OK) === 0) {
      state.status = accepted & ~Status.DRIVER_OK;
      this.needsReset();
      return;
    }
    state.status = accepted;
    if (!goesLive) return;
    state.noteActivation();
    this.effects.activationChanged();
  }

  /** Section 3.2.1: a subset of what was offered, and VERSION_1 (section 6.1), which this transport needs. */
  private featuresAcceptable(): boolean {
    const { driverFeatures } = this.state;
    return (driverFeatures & ~offeredFeatures(this.model)) === 0n && (driverFeatures & (1n << 32n)) !== 0n;
  }

  private deviceFeaturesPage(): number {
    const page = this.state.deviceFeaturesSelect >>> 0;
    if (page > 1) return 0;
    return Number((offeredFeatures(this.model) >> BigInt(32 * page)) & 0xffffffffn);
  }

  private needsReset(): void {
    const { state } = this;
    state.status |= Status.NEEDS_RESET;
    if ((state.status & Status.DRIVER_OK) === 0) return;
    state.setInterrupt(Interrupt.CONFIG_CHANGE);
    this.effects.interrupt();
  }

  private readConfig(offset: number, size: number, data: DataView, at: number): void {
    const { config } = this.state;
    for (let i = 0; i < size; i++) data.setUint8(at + i, config[offset + i] ?? 0);
  }

  private writeConfig(offset: number, size: number, data: DataView, at: number): void {
    const writable = this.model.writableConfig;
    if (writable === undefined || offset < writable.start || offset + size > writable.end) return;
    for (let i = 0; i < size; i++) this.state.config[offset + i] = data.getUint8(at + i);
  }
}
