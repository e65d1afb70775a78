import type { EventLoop } from '../../../io/event-loop.ts';
import { drainEventFd, signalEventFd } from '../../../io/eventfd.ts';
import { DescriptorChain } from '../chain.ts';
import type { VirtQueue } from '../queue.ts';
import type { DeviceAttachment, ServedDevice } from '../served-device.ts';
import type { BlockBackend } from './backend.ts';
import { BLOCKED, type ExecutorOptions, RequestExecutor } from './executor.ts';
import { IdlePoll } from './idle-poll.ts';
import { BlockFeature, QUEUE_SIZE } from './model.ts';

/** What is left to do when the device's lock is given back. */
const Next = {
  /** Nothing: the driver notifies us when there is more. */
  SLEEP: 0,
  /** Nothing, but more may come so soon that it is worth looking. */
  POLL: 4,
  /** More requests. */
  CONTINUE: 1,
  /** The same, but somebody else wants the lock first. */
  YIELD: 2,
  /** The host's disk has to be waited for; the request that needs it is still in the queue. */
  WAIT: 3,
} as const;
type Next = (typeof Next)[keyof typeof Next];

/** After so many requests or bytes the driver hears of them, and others may take the device's lock. */
const BATCH_REQUESTS = 64;
const BATCH_BYTES = 1024 * 1024;
/** After so many batches the thread looks at its other events. */
const BATCHES_PER_TURN = 64;
/** So many reads behind a blocked one are announced, so that the host's disk works on all of them at once. */
const LOOKAHEAD = 32;
/** A thread woken by the lock's release needs about this long to take it. */
const YIELD_MS = 0.1;

/**
 * Serves a block device from a backend. Requests are carried out and completed in the order in which they were made,
 * so whenever the lock is free none is half done: one that has to wait for the host's disk is put back before, and
 * taken again after. A snapshot between the two sees it as not yet begun, and a restore carries it out anew, which
 * changes nothing, as the request's buffers are the device's until it is completed.
 */
export class BlockHandler {
  private readonly device: ServedDevice;
  private readonly backend: BlockBackend;
  private readonly loop: EventLoop;
  private readonly queueEventFd: number;
  private readonly executor: RequestExecutor;
  private readonly chain = new DescriptorChain(QUEUE_SIZE);
  private readonly yielding = new Int32Array(new SharedArrayBuffer(4));
  private readonly runBatch = (): void => {
    const queue = this.device.queue(0);
    if (queue !== undefined) this.next = this.batch(queue);
  };
  private readonly idlePoll = new IdlePoll();
  private readonly hasAvailable = (): boolean => this.device.queue(0)?.hasAvailable === true;
  /** Requests were served since the queue was last found empty. */
  private busy = false;
  private next: Next = Next.SLEEP;
  private activation = -1;
  /** Requests at the head of the queue whose reads are announced already. */
  private announced = 0;

  constructor(
    device: ServedDevice,
    attachment: DeviceAttachment,
    loop: EventLoop,
    backend: BlockBackend,
    options: ExecutorOptions,
  ) {
    this.device = device;
    this.backend = backend;
    this.loop = loop;
    this.executor = new RequestExecutor(device.memory, backend, options);
    this.queueEventFd = attachment.queueEventFds[0] as number;
    loop.add(this.queueEventFd, () => this.serve());
    // A restored device may have requests in its queue that were notified before the snapshot.
    signalEventFd(this.queueEventFd);
  }

  /** Stops serving; a notification that comes later stays in the eventfd. */
  detach(): void {
    this.loop.remove(this.queueEventFd);
  }

  private serve(): void {
    drainEventFd(this.queueEventFd);
    const { device, backend, idlePoll } = this;
    if (!this.busy) idlePoll.woke();
    for (let turn = 0; turn < BATCHES_PER_TURN; turn++) {
      if (!device.enter()) return;
      const next = this.serveBatch();
      if (next === Next.SLEEP) return;
      if (next === Next.POLL) idlePoll.poll(this.hasAvailable);
      else if (next === Next.WAIT) backend.wait();
      else if (next === Next.YIELD) Atomics.wait(this.yielding, 0, 0, YIELD_MS);
    }
    signalEventFd(this.queueEventFd);
  }

  /** Between the device's enter(), which was done, and its leave(). */
  private serveBatch(): Next {
    this.next = Next.SLEEP;
    try {
      this.backend.enter();
      this.noteActivation();
      this.device.guarded(this.runBatch);
    } finally {
      this.device.leave();
    }
    return this.next;
  }

  private noteActivation(): void {
    const { device, executor } = this;
    if (device.state.activation === this.activation) return;
    this.activation = device.state.activation;
    this.announced = 0;
    executor.negotiated.flush = device.hasFeature(BlockFeature.FLUSH);
    executor.negotiated.discard = device.hasFeature(BlockFeature.DISCARD);
    executor.negotiated.writeZeroes = device.hasFeature(BlockFeature.WRITE_ZEROES);
  }

  private batch(queue: VirtQueue): Next {
    const { chain, device } = this;
    const { lock } = device.state;
    let bytes = 0;
    for (let count = 0; ; count++) {
      if (count === BATCH_REQUESTS || bytes >= BATCH_BYTES) return this.publish(queue, Next.CONTINUE);
      if (!queue.pop(chain)) {
        device.publish(queue);
        const next = this.becomeIdle(queue);
        if (next === Next.CONTINUE) continue;
        return next;
      }
      this.busy = true;
      const written = this.executor.execute(chain);
      if (written === BLOCKED) {
        queue.undoPop();
        this.announceReads(queue);
        return this.publish(queue, Next.WAIT);
      }
      queue.push(chain.head, written);
      if (this.announced > 0) this.announced--;
      bytes += chain.readableBytes + chain.writableBytes;
      if (lock.isContended) return this.publish(queue, Next.YIELD);
    }
  }

  /** The queue is empty: it is polled for a while, if that is worth it, before the driver is asked to notify us. */
  private becomeIdle(queue: VirtQueue): Next {
    if (this.busy) {
      this.busy = false;
      this.idlePoll.idle();
      if (this.idlePoll.isWanted) {
        queue.disableNotifications();
        return Next.POLL;
      }
    }
    return queue.enableNotifications() ? Next.CONTINUE : Next.SLEEP;
  }

  private publish(queue: VirtQueue, next: Next): Next {
    this.device.publish(queue);
    return next;
  }

  /** Announces the reads that follow in the queue, which stays as it is. */
  private announceReads(queue: VirtQueue): void {
    if (this.announced > 0) return;
    let taken = 0;
    try {
      while (taken < LOOKAHEAD && queue.pop(this.chain)) {
        taken++;
        this.executor.announce(this.chain);
      }
    } finally {
      queue.undoPop(taken);
    }
    this.announced = taken;
  }
}
