/** The level of an interrupt pin, as a device drives it. */
export interface InterruptLine {
  set(level: 0 | 1): void;
}
