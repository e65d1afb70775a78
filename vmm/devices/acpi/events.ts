/**
 * What the machine tells its guest by ACPI: events wait in a register, which the generic event device's method reads,
 * and reading clears it. An edge on its interrupt says that there are some.
 */
import type { Bus, BusDevice } from '../bus.ts';
import type { InterruptLine } from '../interrupt-line.ts';

export const ACPI_EVENT_PORT = 0x604;
const ACPI_EVENT_BYTES = 4;
/** The pin of a PC's floating-point errors, which no processor of today raises. */
export const ACPI_EVENT_IRQ = 13;

export const AcpiEvent = { POWER_BUTTON: 1, NEW_GENERATION: 2 } as const;
const ALL_EVENTS = AcpiEvent.POWER_BUTTON | AcpiEvent.NEW_GENERATION;

/** Events that the guest has not read yet: one word of shared memory, which control sets and a vCPU's thread clears. */
export class AcpiEvents {
  private readonly words: Int32Array;

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(4);
  }

  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
  }

  get pending(): number {
    return Atomics.load(this.words, 0);
  }

  /** Lets the guest know; a second time, harmlessly, if it has not looked yet. */
  raise(events: number, line: InterruptLine): void {
    Atomics.or(this.words, 0, events & ALL_EVENTS);
    line.set(1);
    line.set(0);
  }

  take(): number {
    return Atomics.exchange(this.words, 0, 0);
  }
}

export function attachAcpiEvents(bus: Bus, events: AcpiEvents): void {
  const register: BusDevice = {
    read: (_offset, size, data, at) => {
      const taken = events.take();
      for (let i = 0; i < size; i++) data.setUint8(at + i, (taken >>> (8 * i)) & 0xff);
    },
    write: () => {},
  };
  bus.attach(ACPI_EVENT_PORT, ACPI_EVENT_BYTES, register);
}
