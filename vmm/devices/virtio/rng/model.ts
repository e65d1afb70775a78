import { DeviceId } from '../constants.ts';
import type { VirtioModel } from '../model.ts';

/** The entropy device (virtio 1.2 section 5.4): one queue of buffers to fill with random bytes, no configuration. */
export const rngModel: VirtioModel = {
  deviceId: DeviceId.ENTROPY,
  features: 0n,
  queueSizes: [64],
  config: new Uint8Array(0),
};
