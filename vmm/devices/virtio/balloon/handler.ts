import type { EventLoop } from '../../../io/event-loop.ts';
import { drainEventFd, signalEventFd } from '../../../io/eventfd.ts';
import { gpa, gpaOffset, HUGE_PAGE_SIZE } from '../../../memory/address.ts';
import { gpaOfRam, ramOffsetOf } from '../../../memory/layout.ts';
import { DescriptorChain } from '../chain.ts';
import type { VirtQueue } from '../queue.ts';
import type { DeviceAttachment, ServedDevice } from '../served-device.ts';
import { balloonConfig } from './config.ts';
import { InflatedPages } from './inflated-pages.ts';
import { BALLOON_PAGE_SIZE, BalloonFeature, BalloonQueue, QUEUE_SIZE, queueUse } from './model.ts';
import { BalloonState } from './state.ts';

/** Then others have their turn, as giving memory back takes the kernel a while. */
const REQUESTS_PER_TURN = 8;
/** Page numbers of one request that are looked at: 64 times what Linux sends. */
const MOST_PAGES_PER_REQUEST = 16_384;
const MOST_STATISTICS_BYTES = 1024;
/** A tag of 16 bits and a value of 64 (section 5.5.6.3). */
const STATISTIC_SIZE = 10;

/**
 * Serves a balloon: what the guest puts into it, or reports as free, goes back to the host in whole huge pages, and reads as
 * zeros if the guest takes it again. While memory must stay as it is (a snapshot, a restore that is still loading) nothing
 * is given back; balloon pages are caught up on later.
 */
export class BalloonHandler {
  private readonly device: ServedDevice;
  private readonly state: BalloonState;
  private readonly loop: EventLoop;
  private readonly queueEventFds: readonly number[];
  private readonly chain = new DescriptorChain(QUEUE_SIZE);
  private readonly inflated: InflatedPages;
  /** Huge pages that are in the balloon and not given back yet. */
  private readonly due = new Set<number>();
  private readonly numbers = new Uint8Array(4 * MOST_PAGES_PER_REQUEST);
  private activation = -1;

  constructor(device: ServedDevice, { queueEventFds }: DeviceAttachment, loop: EventLoop) {
    this.device = device;
    this.loop = loop;
    this.queueEventFds = queueEventFds;
    this.state = new BalloonState(device.state.own);
    this.inflated = new InflatedPages(device.memory.length);
    for (const [index, fd] of queueEventFds.entries()) loop.add(fd, () => this.serve(index, fd));
  }

  /** Stops serving; a notification that comes later stays in the eventfd. */
  detach(): void {
    for (const fd of this.queueEventFds) this.loop.remove(fd);
  }

  /** The host would like to have so many pages; the driver does what it can. */
  setTarget(pageCount: number): void {
    const config = balloonConfig.allocate();
    config.num_pages = pageCount;
    this.device.setConfig(0, config.bytes.subarray(0, balloonConfig.offsets.actual));
  }

  /** Asks the driver for new statistics, if it has lent a buffer for them. */
  askStatistics(): void {
    const { device, state } = this;
    device.serve(() => {
      const head = state.statisticsHead;
      const queue = device.queue(BalloonQueue.STATISTICS);
      if (head === undefined || queue === undefined || !device.hasFeature(BalloonFeature.STATS_VQ)) return;
      state.statisticsHead = undefined;
      device.guarded(() => {
        queue.push(head, 0);
        device.publish(queue);
      });
    });
  }

  private serve(index: number, fd: number): void {
    drainEventFd(fd);
    const { device } = this;
    device.serve(() => {
      this.noteActivation();
      this.giveBackDue();
      const queue = device.queue(index);
      const use = queueUse(index, device.hasFeature(BalloonFeature.STATS_VQ));
      if (queue !== undefined)
        device.guarded(() => {
          if (this.serveSome(queue, use)) signalEventFd(fd);
        });
    });
  }

  /** A driver that begins anew has nothing in the balloon. */
  private noteActivation(): void {
    const { activation } = this.device.state;
    if (activation === this.activation) return;
    this.activation = activation;
    this.forget();
  }

  private serveSome(queue: VirtQueue, use: BalloonQueue): boolean {
    let more = true;
    for (let count = 0; more && count < REQUESTS_PER_TURN; count++) {
      if (!queue.pop(this.chain)) more = queue.enableNotifications();
      else if (use === BalloonQueue.STATISTICS) this.takeStatistics(queue);
      else {
        if (use === BalloonQueue.REPORTING) this.giveBackReported();
        else this.movePages(use === BalloonQueue.INFLATE);
        queue.push(this.chain.head, 0);
      }
    }
    this.device.publish(queue);
    return more;
  }

  /** Section 5.5.6.1: buffers hold page numbers of 32 bits. Those that are not RAM do nothing. */
  private movePages(inflate: boolean): void {
    const { chain, numbers, device } = this;
    const { memory } = device;
    // A driver that need not tell us may use pages again while our books have them in the balloon (section 5.5.6.1).
    if (!device.hasFeature(BalloonFeature.MUST_TELL_HOST)) return;
    // Of what has grown beyond all bounds nothing is given back: some of it may be in use again.
    if (chain.readableBytes > numbers.length) {
      this.forget();
      return;
    }
    for (let i = 0; i < chain.readableCount; i++) {
      const length = chain.length(i) & ~3;
      const bytes = numbers.subarray(0, length);
      memory.copyOut(chain.address(i), bytes);
      const view = new DataView(bytes.buffer, 0, length);
      for (let at = 0; at < length; at += 4) {
        const address = gpa(view.getUint32(at, true) * BALLOON_PAGE_SIZE);
        if (!memory.contains(address, BALLOON_PAGE_SIZE)) continue;
        this.movePage(ramOffsetOf(address) / BALLOON_PAGE_SIZE, inflate);
      }
    }
    this.giveBackDue();
  }

  private forget(): void {
    this.inflated.clear();
    this.due.clear();
  }

  private movePage(page: number, inflate: boolean): void {
    const block = Math.floor((page * BALLOON_PAGE_SIZE) / HUGE_PAGE_SIZE);
    if (!inflate) {
      this.inflated.remove(page);
      this.due.delete(block);
    } else if (this.inflated.add(page)) this.due.add(block);
  }

  private giveBackDue(): void {
    const { memory } = this.device;
    for (const block of this.due) {
      if (!memory.mayDiscard) return;
      memory.discard(gpaOfRam(block * HUGE_PAGE_SIZE), HUGE_PAGE_SIZE);
      this.due.delete(block);
    }
  }

  /** Section 5.5.6.7: the buffers are the free memory itself, which nobody will use before they are returned. */
  private giveBackReported(): void {
    const { chain, device } = this;
    for (let i = chain.readableCount; i < chain.count; i++)
      device.memory.discard(chain.address(i), chain.length(i));
  }

  /** Section 5.5.6.3: the buffer stays with us until we want other ones. */
  private takeStatistics(queue: VirtQueue): void {
    const { chain, state, device, numbers } = this;
    // A driver that lends a second one gets the first back.
    if (state.statisticsHead !== undefined) queue.push(state.statisticsHead, 0);
    state.statisticsHead = chain.head;
    state.clearStatistics();
    let length = 0;
    for (let i = 0; i < chain.readableCount; i++) {
      const part = Math.min(chain.length(i), MOST_STATISTICS_BYTES - length);
      device.memory.copyOut(gpaOffset(chain.address(i), 0), numbers.subarray(length, length + part));
      length += part;
    }
    const view = new DataView(numbers.buffer);
    for (let at = 0; at + STATISTIC_SIZE <= length; at += STATISTIC_SIZE) {
      const tag = view.getUint16(at, true);
      state.putStatistic(tag, view.getInt32(at + 2, true), view.getInt32(at + 6, true));
    }
    state.publishStatistics();
  }
}
