import { DeviceId } from '../constants.ts';
import type { VirtioModel } from '../model.ts';
import { consoleConfig } from './config.ts';
import { ConsoleState } from './state.ts';

/** Section 5.3.3. One port only, so neither MULTIPORT nor control queues. */
export const ConsoleFeature = { SIZE: 1n << 0n } as const;
/** Section 5.3.2. */
export const ConsoleQueue = { RECEIVE: 0, TRANSMIT: 1 } as const;
export const QUEUE_SIZE = 64;

const config = consoleConfig.allocate();
config.cols = 80;
config.rows = 25;

/** The console device (virtio 1.2 section 5.3) with its one port. */
export const consoleModel: VirtioModel = {
  deviceId: DeviceId.CONSOLE,
  features: ConsoleFeature.SIZE,
  queueSizes: [QUEUE_SIZE, QUEUE_SIZE],
  config: config.bytes,
  ownWords: ConsoleState.words,
};
