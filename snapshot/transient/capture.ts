import { SerialState } from '../../vmm/devices/serial/state.ts';
import { VirtioState } from '../../vmm/devices/virtio/state.ts';
import { kvmClockData, kvmIrqchip, kvmPitState2 } from '../../vmm/kvm/layouts.ts';
import type { Machine } from '../../vmm/machine.ts';

/** PIC master, PIC slave, IOAPIC (KVM API document, KVM_GET_IRQCHIP). */
export const IRQCHIP_IDS = [0, 1, 2] as const;

/**
 * Room for all state of a VM but its RAM, disks and vCPUs (those have slabs), allocated before the pause and filled in
 * it.
 */
export class VmCapture {
  readonly irqchips = IRQCHIP_IDS.map(() => kvmIrqchip.allocate());
  readonly pit = kvmPitState2.allocate();
  readonly clock = kvmClockData.allocate();
  readonly serial = new Int32Array(SerialState.registerCount);
  /** Console input that the guest has not read yet. */
  serialInput: Uint8Array = new Uint8Array(0);
  readonly cmos = { index: 0, date_s: 0 };
  /** Events that the guest had not read yet. */
  acpiEvents = 0;
  readonly devices: readonly { name: string; state: VirtioState; words: Int32Array; config: Uint8Array }[];
  private readonly machine: Machine;

  constructor(machine: Machine) {
    this.machine = machine;
    this.devices = machine.slots.map(({ attachment }) => {
      const state = new VirtioState(attachment.state, attachment.model);
      const name = attachment.name.slice(attachment.name.indexOf('/') + 1);
      return {
        name,
        state,
        words: new Int32Array(state.wordCount),
        config: new Uint8Array(state.config.length),
      };
    });
  }

  /** From here to unlockDevices() every device is at a descriptor boundary. */
  lockDevices(): void {
    for (const { state } of this.devices) state.lock.acquire();
    this.machine.serial.lock.acquire();
  }

  unlockDevices(): void {
    this.machine.serial.lock.release();
    for (const { state } of this.devices) state.lock.release();
  }

  captureDevices(): void {
    this.machine.serial.copyTo(this.serial);
    this.serialInput = this.machine.serial.input.peek();
    this.acpiEvents = this.machine.acpiEvents.pending;
    this.cmos.index = this.machine.cmos.index;
    this.cmos.date_s = this.machine.cmos.date_s;
    for (const { state, words, config } of this.devices) {
      state.copyTo(words);
      config.set(state.config);
    }
  }

  captureChips(): void {
    const { vm } = this.machine;
    for (const id of IRQCHIP_IDS) vm.getIrqchip(id, this.irqchips[id]);
    vm.getPit(this.pit);
    vm.getClock(this.clock);
  }
}
