import type { AcpiEvents } from './devices/acpi/events.ts';
import type { CmosState } from './devices/rtc/cmos.ts';
import type { SerialState } from './devices/serial/state.ts';
import type { VirtioSlot } from './devices/virtio/slot.ts';
import type { Vcpu } from './kvm/vcpu.ts';
import type { Vm } from './kvm/vm.ts';
import type { GuestMemory } from './memory/guest-memory.ts';
import type { Ram } from './memory/ram.ts';

export type MachineState = 'created' | 'running' | 'paused' | 'stopped';

/** The parts of a machine that has not run yet. */
export interface MachineParts {
  readonly vm: Vm;
  readonly ram: Ram;
  readonly memory: GuestMemory;
  readonly slots: readonly VirtioSlot[];
  readonly vcpus: readonly Vcpu[];
  readonly serial: SerialState;
  readonly cmos: CmosState;
  readonly acpiEvents: AcpiEvents;
  /** The guest has ACPI. */
  readonly firmwareTables: boolean;
}

/** What a machine's software does from begin() on, whether there was an install() or not. Both are idempotent. */
export interface BegunSoftware {
  /** The vCPUs have been asked to end: whoever waits for memory that will never come is let go, or nobody could end. */
  letGo(): Promise<void>;
  /** Nobody uses RAM any more. */
  end(): Promise<void>;
}

/** What a machine is to run: software to boot, or the state of another machine to go on from. */
export interface MachineSoftware {
  /** RAM is mapped, all else is still to be made: what takes long may begin. When it throws, nothing has begun. */
  begin?(ram: Ram): BegunSoftware;
  /** Fills RAM and sets up vCPUs and devices. */
  install(parts: MachineParts): void | Promise<void>;
  /** Called when the machine is let run, right before its vCPUs are. */
  release?(machine: Pick<MachineParts, 'vm' | 'slots'> & { readonly state: MachineState }): void;
}
