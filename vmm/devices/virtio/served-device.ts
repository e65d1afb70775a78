import { TsvmmError } from '../../errors.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { Feature, Interrupt, Status } from './constants.ts';
import { Interrupter, type InterruptTarget } from './interrupter.ts';
import type { VirtioModel } from './model.ts';
import { VirtQueue } from './queue.ts';
import { VirtioState } from './state.ts';

/** What the I/O thread is given to serve a device; all of it can cross to a thread. */
export interface DeviceAttachment extends InterruptTarget {
  /** For messages: "vm/device". */
  readonly name: string;
  readonly model: VirtioModel;
  readonly state: SharedArrayBuffer;
  /** Notifications of each queue (ioeventfds). */
  readonly queueEventFds: readonly number[];
}

export type Entry = 'entered' | 'inactive' | 'busy';

/**
 * A virtio device as its I/O thread sees it. All work on queues happens between enter() and leave(), which hold the
 * device's lock: outside of them the device is at a descriptor boundary, so that a snapshot or a reset by the driver
 * may take place.
 */
export class ServedDevice {
  readonly name: string;
  readonly memory: GuestMemory;
  readonly state: VirtioState;
  private readonly interrupter: Interrupter;
  private readonly liveQueues: (VirtQueue | undefined)[] = [];
  private activation = -1;
  private interruptDue = false;

  constructor(attachment: DeviceAttachment, memory: GuestMemory) {
    this.name = attachment.name;
    this.memory = memory;
    this.state = new VirtioState(attachment.state, attachment.model);
    this.interrupter = new Interrupter(attachment);
  }

  /** False, with the lock released again, unless the driver has set the device up and it is in order. */
  enter(): boolean {
    this.state.lock.acquire();
    return this.admit();
  }

  /**
   * As enter(), for a thread that serves many devices and therefore waits for none: 'busy' when somebody else holds
   * the lock (the driver in a register, a reset, a snapshot).
   */
  tryEnter(): Entry {
    if (!this.state.lock.tryAcquire()) return 'busy';
    return this.admit() ? 'entered' : 'inactive';
  }

  /** Ends what enter() began, and interrupts the driver if something was published that it waits for. */
  leave(): void {
    // Signalled before the lock is free: whoever takes it next finds nothing published without its interrupt.
    if (this.interruptDue) this.interrupter.raise();
    this.interruptDue = false;
    this.state.lock.release();
  }

  /** Does `work` between enter() and leave(), however it ends; false if the device may not be served. */
  serve(work: () => void): boolean {
    if (!this.enter()) return false;
    try {
      work();
    } finally {
      this.leave();
    }
    return true;
  }

  /** The queue, if the driver made it ready. */
  queue(index: number): VirtQueue | undefined {
    return this.liveQueues[index];
  }

  hasFeature(feature: bigint): boolean {
    return (this.state.driverFeatures & feature) !== 0n;
  }

  /** Publishes what was pushed to `queue`. */
  publish(queue: VirtQueue): void {
    if (!queue.publish()) return;
    this.state.setInterrupt(Interrupt.USED_BUFFER);
    this.interruptDue = true;
  }

  /** Replaces configuration space bytes and tells the driver (section 4.2.2, config change). */
  changeConfig(offset: number, bytes: Uint8Array): void {
    this.state.updateConfig(offset, bytes);
    this.state.setInterrupt(Interrupt.CONFIG_CHANGE);
    this.interruptDue = true;
  }

  /** The same from outside of enter() and leave(): a driver that comes later reads the bytes when it begins. */
  setConfig(offset: number, bytes: Uint8Array): void {
    if (this.serve(() => this.changeConfig(offset, bytes))) return;
    const { lock } = this.state;
    lock.acquire();
    this.state.updateConfig(offset, bytes);
    lock.release();
  }

  /**
   * Within enter() and leave(): runs `work`, and if the driver turns out to have broken the rules, asks it for a
   * reset (section 2.1.2) and answers false. Errors of ours go through.
   */
  guarded(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (!(error instanceof TsvmmError) || error.code !== 'TSVMM_E_GUEST_MEMORY') throw error;
      this.state.status |= Status.NEEDS_RESET;
      this.state.setInterrupt(Interrupt.CONFIG_CHANGE);
      this.interruptDue = true;
      return false;
    }
  }

  /** With the lock held: keeps it when the device may be served, and gives it back otherwise. */
  private admit(): boolean {
    const { state } = this;
    const live = (state.status & Status.DRIVER_OK) !== 0 && (state.status & Status.NEEDS_RESET) === 0;
    if (live && (state.activation === this.activation || this.guarded(() => this.activate()))) return true;
    this.leave();
    return false;
  }

  private activate(): void {
    const { state } = this;
    this.activation = state.activation;
    const options = {
      eventIndex: this.hasFeature(Feature.EVENT_IDX),
      indirect: this.hasFeature(Feature.INDIRECT_DESC),
    };
    this.liveQueues.length = 0;
    for (const queue of state.queues) {
      this.liveQueues.push(queue.ready ? new VirtQueue(this.memory, queue, options) : undefined);
    }
  }
}
