import { Status } from '../constants.ts';
import type { DeviceAttachment } from '../served-device.ts';
import { VirtioState } from '../state.ts';
import { balloonConfig } from './config.ts';
import { BALLOON_PAGE_SIZE, balloonModel } from './model.ts';
import { BalloonState, type StatisticName } from './state.ts';

/** What is asked of the thread that serves a balloon. */
export type BalloonChange = { readonly target: number } | 'ask statistics';

export interface BalloonStatus {
  /** A driver of the guest serves the balloon. */
  readonly live: boolean;
  /** What the host would like to have of the guest's memory, and what the guest has given. */
  readonly target_bytes: number;
  readonly actual_bytes: number;
  /** What the guest says about its memory. */
  readonly statistics: Partial<Record<StatisticName, number>>;
}

/** The host's end of a balloon, for the control thread. */
export class BalloonEnd {
  private readonly send: (change: BalloonChange) => void;
  private device: VirtioState | undefined;

  constructor(send: (change: BalloonChange) => void) {
    this.send = send;
  }

  connect(attachment: DeviceAttachment): void {
    this.device = new VirtioState(attachment.state, balloonModel);
  }

  /** Asks the guest to give so much of its memory, in all; 0 gives it everything back. */
  setTarget(bytes: number): void {
    this.send({ target: Math.floor(bytes / BALLOON_PAGE_SIZE) });
  }

  askStatistics(): void {
    this.send('ask statistics');
  }

  /** Counts statistics that have come. */
  get statisticsCount(): number {
    return this.device === undefined ? 0 : new BalloonState(this.device.own).statisticsCount;
  }

  get status(): BalloonStatus {
    const { device } = this;
    if (device === undefined) return { live: false, target_bytes: 0, actual_bytes: 0, statistics: {} };
    const config = new DataView(device.config.buffer, device.config.byteOffset, balloonConfig.size);
    return {
      live: (device.status & Status.DRIVER_OK) !== 0,
      target_bytes: config.getUint32(balloonConfig.offsets.num_pages, true) * BALLOON_PAGE_SIZE,
      actual_bytes: config.getUint32(balloonConfig.offsets.actual, true) * BALLOON_PAGE_SIZE,
      statistics: new BalloonState(device.own).statistics,
    };
  }
}
