/** Numbers of the virtio 1.2 specification that every device and the transport share. */

/** Section 2.1, device status field. */
export const Status = {
  ACKNOWLEDGE: 1,
  DRIVER: 2,
  DRIVER_OK: 4,
  FEATURES_OK: 8,
  NEEDS_RESET: 64,
  FAILED: 128,
} as const;

/** Section 6, reserved feature bits. */
export const Feature = {
  INDIRECT_DESC: 1n << 28n,
  EVENT_IDX: 1n << 29n,
  VERSION_1: 1n << 32n,
} as const;

/** Section 2.7.5, descriptor flags. */
export const Descriptor = { SIZE: 16, NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;

/** Sections 2.7.6 and 2.7.8, ring flags. */
export const AVAIL_NO_INTERRUPT = 1;
export const USED_NO_NOTIFY = 1;

/** Section 4.2.2, InterruptStatus. */
export const Interrupt = { USED_BUFFER: 1, CONFIG_CHANGE: 2 } as const;

/** Section 5, device ids. */
export const DeviceId = { NET: 1, BLOCK: 2, CONSOLE: 3, ENTROPY: 4, BALLOON: 5 } as const;
