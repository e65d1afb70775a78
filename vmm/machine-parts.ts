import type { AcpiEvents } from './devices/acpi/events.ts';
import type { CmosState } from './devices/rtc/cmos.ts';
import type { SerialState } from './devices/serial/state.ts';
import type { VirtioSlot } from './devices/virtio/slot.ts';
import type { Vcpu } from './kvm/vcpu.ts';
import type { Vm } from './kvm/vm.ts';
import type { GuestMemory } from './memory/guest-memory.ts';
import type { Ram } from './memory/ram.ts';

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

/** What a machine is to run: software to boot, or the state of another machine to go on from. */
export interface MachineSoftware {
  /**
   * RAM is there, though no guest memory yet: what takes long may begin. What it answers is called when the vCPUs have
   * ended and before RAM goes, whether there was an install() or not.
   */
  begin?(ram: Ram): () => Promise<void>;
  /** Fills RAM and sets up vCPUs and devices. */
  install(parts: MachineParts): void | Promise<void>;
  /** Called when the machine is let run, right before its vCPUs are. */
  release?(parts: Pick<MachineParts, 'vm'>): void;
}
