import { randomFillSync } from 'node:crypto';
import type { EventLoop } from '../../../io/event-loop.ts';
import { drainEventFd, signalEventFd } from '../../../io/eventfd.ts';
import { DescriptorChain } from '../chain.ts';
import type { VirtQueue } from '../queue.ts';
import type { DeviceAttachment, ServedDevice } from '../served-device.ts';
import { rngModel } from './model.ts';

/** One request is filled with at most this many bytes; the driver asks again for more (section 5.4.6). */
const MAXIMUM_FILL_BYTES = 64 * 1024;
const REQUESTS_PER_TURN = 16;

/** Serves an entropy device from the host's random number generator. */
export class RngHandler {
  private readonly device: ServedDevice;
  private readonly chain = new DescriptorChain(rngModel.queueSizes[0] as number);
  private readonly entropy = new Uint8Array(MAXIMUM_FILL_BYTES);
  private readonly queueEventFd: number;
  private readonly loop: EventLoop;

  constructor(device: ServedDevice, attachment: DeviceAttachment, loop: EventLoop) {
    this.device = device;
    this.queueEventFd = attachment.queueEventFds[0] as number;
    this.loop = loop;
    loop.add(this.queueEventFd, () => this.serve());
  }

  /** Stops serving; a notification that comes later stays in the eventfd. */
  detach(): void {
    this.loop.remove(this.queueEventFd);
  }

  private serve(): void {
    drainEventFd(this.queueEventFd);
    const { device } = this;
    device.serve(() => {
      const queue = device.queue(0);
      if (queue !== undefined) device.guarded(() => this.fillSome(queue));
    });
  }

  /** Then others have their turn: a driver that asks without end must not keep the thread, nor the lock. */
  private fillSome(queue: VirtQueue): void {
    for (let i = 0; i < REQUESTS_PER_TURN && queue.pop(this.chain); i++)
      queue.push(this.chain.head, this.fill());
    this.device.publish(queue);
    if (queue.enableNotifications()) signalEventFd(this.queueEventFd);
  }

  private fill(): number {
    const { chain, entropy, device } = this;
    let filled = 0;
    for (let i = chain.readableCount; i < chain.count && filled < MAXIMUM_FILL_BYTES; i++) {
      const length = Math.min(chain.length(i), MAXIMUM_FILL_BYTES - filled);
      const bytes = entropy.subarray(0, length);
      randomFillSync(bytes);
      device.memory.copyIn(chain.address(i), bytes);
      filled += length;
    }
    return filled;
  }
}
