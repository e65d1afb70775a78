import type { Bus, BusDevice } from './bus.ts';

export type PowerAction = 'power-off' | 'reset';

/**
 * Ports by which a guest ends itself: the ACPI sleep control register (ACPI 6.5 section 4.8.3.7) for power off, and
 * the two ways in which PCs are reset, the keyboard controller's pulse and the chip set's reset control register.
 */
export const SLEEP_CONTROL_PORT = 0x600;
export const SLEEP_STATUS_PORT = 0x601;
const KEYBOARD_CONTROLLER_PORT = 0x64;
export const RESET_CONTROL_PORT = 0xcf9;

const SLEEP_ENABLE = 1 << 5;
/** As \_S5 says it. */
export const SLEEP_TYPE_S5 = 5;
const SLEEP_TYPE_SHIFT = 2;
const SLEEP_TYPE_MASK = 7;
const KEYBOARD_PULSE_RESET = 0xfe;
const RESET_CPU = 1 << 2;
/** Written to the reset control register it resets all (RST_CPU and SYS_RST). */
export const RESET_VALUE = 0x06;
/**
 * Output buffer full, input buffer empty. The first never ends, by which a driver sees at once that no controller is
 * there; the second is what it waits for before it writes a command, such as the reset.
 */
const KEYBOARD_STATUS = 0x01;

export function attachPower(bus: Bus, act: (action: PowerAction) => void): void {
  bus.attach(
    SLEEP_CONTROL_PORT,
    1,
    onWrite(value => {
      const isS5 = ((value >> SLEEP_TYPE_SHIFT) & SLEEP_TYPE_MASK) === SLEEP_TYPE_S5;
      if ((value & SLEEP_ENABLE) !== 0 && isS5) act('power-off');
    }),
  );
  bus.attach(
    SLEEP_STATUS_PORT,
    1,
    onWrite(() => {}),
  );
  const keyboardController = onWrite(value => {
    if (value === KEYBOARD_PULSE_RESET) act('reset');
  });
  bus.attach(KEYBOARD_CONTROLLER_PORT, 1, { ...keyboardController, read: readsAs(KEYBOARD_STATUS) });
  bus.attach(
    RESET_CONTROL_PORT,
    1,
    onWrite(value => {
      if ((value & RESET_CPU) !== 0) act('reset');
    }),
  );
}

const readsAs =
  (value: number): BusDevice['read'] =>
  (_offset, size, data, at) => {
    for (let i = 0; i < size; i++) data.setUint8(at + i, value);
  };

/** Reads as 0: not sleeping. */
const onWrite = (write: (value: number) => void): BusDevice => ({
  read: readsAs(0),
  write: (_offset, _size, data, at) => write(data.getUint8(at)),
});
