import { DeviceId } from '../constants.ts';
import type { VirtioModel } from '../model.ts';
import { balloonConfig } from './config.ts';
import { BalloonState } from './state.ts';

/** Section 5.5.3. */
export const BalloonFeature = {
  MUST_TELL_HOST: 1n << 0n,
  STATS_VQ: 1n << 1n,
  DEFLATE_ON_OOM: 1n << 2n,
  PAGE_REPORTING: 1n << 5n,
} as const;

/** The unit of all page numbers, whatever the guest's pages are (section 5.5.6). */
export const BALLOON_PAGE_SIZE = 4096;
export const QUEUE_SIZE = 128;

/** What a queue is for. */
export const BalloonQueue = { INFLATE: 0, DEFLATE: 1, STATISTICS: 2, REPORTING: 3 } as const;
export type BalloonQueue = (typeof BalloonQueue)[keyof typeof BalloonQueue];

/**
 * The balloon (virtio 1.2 section 5.5). It has a queue more than it has uses for: by the specification reporting is number
 * 4, while Linux numbers the queues that there are without gaps, so that it is 3.
 */
export const balloonModel: VirtioModel = {
  deviceId: DeviceId.BALLOON,
  features:
    BalloonFeature.MUST_TELL_HOST |
    BalloonFeature.STATS_VQ |
    BalloonFeature.DEFLATE_ON_OOM |
    BalloonFeature.PAGE_REPORTING,
  queueSizes: [QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE],
  config: balloonConfig.allocate().bytes,
  writableConfig: { start: balloonConfig.offsets.actual, end: balloonConfig.size },
  sessionConfig: [{ start: balloonConfig.offsets.actual, end: balloonConfig.size }],
  ownWords: BalloonState.words,
};

/** The use of queue `index` for a driver that has or has not agreed to statistics. */
export function queueUse(index: number, hasStatistics: boolean): BalloonQueue {
  if (index < 2) return index as BalloonQueue;
  return index === 2 && hasStatistics ? BalloonQueue.STATISTICS : BalloonQueue.REPORTING;
}
