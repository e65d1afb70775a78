import { Frame } from '../vmm/devices/virtio/net/frame.ts';
import { SEGMENTATION_OFFLOADS } from '../vmm/devices/virtio/net/header.ts';
import type { Entry } from '../vmm/devices/virtio/served-device.ts';
import { Counter, MAXIMUM_PORTS } from './counters.ts';
import { type Markers, noMarkers, Verdict } from './markers.ts';
import { completeChecksum } from './offload/checksum.ts';
import { Segmenter } from './offload/segmentation.ts';
import type { Port } from './ports/port.ts';
import { type FramePool, NONE } from './queues/frame-pool.ts';
import { FrameQueue } from './queues/frame-queue.ts';

/** Work of one turn, in bytes; a frame counts this much beside its own. It keeps the locks for 0.1 ms or so. */
const TURN_BUDGET = 256 * 1024;
const FRAME_COST = 2048;

/** When a lock was found held, or frames are held for a cut: look again after this time. */
export const RETRY_US = 100;
/** Senders wait at most this long for a queue that was filled during a cut to be emptied. */
const PATIENCE_US = 10_000;
/** A frame that does not fit into the buffers there are waits this long for more, then it is cut up or dropped. */
const STALL_US = 100_000;

const LEFTOVER_CHUNKS = 1024;

/**
 * Hands frames over to ports, within one turn.
 *
 * Locks: the net thread is the only one that holds the locks of several network devices at once, those of the sender
 * and of all receivers of the turn. It never waits for one: a port whose lock is held elsewhere is 'busy', its
 * frames go to its backlog, and it is tried again later. So whatever order others take these locks in (a vCPU in a
 * register access, a snapshot that holds all devices of a VM), nobody waits in a circle, and nobody waits for longer than
 * a turn. All locks are released at the turn's end, by settle().
 */
export class Exchange {
  /** The time of this turn. */
  now_us = 0;
  markers: Markers = noMarkers;
  /** Frames just taken from a port, and frames whose delay is over. */
  readonly incoming = new Frame();
  readonly arrived = new Frame();
  /** Decides whether a port is polled, or must ask for a notification. */
  watch: (port: Port) => boolean = () => false;
  private readonly pool: FramePool;
  /** Frames that waited in a backlog. */
  private readonly stored = new Frame();
  private readonly segmenter = new Segmenter();
  /** Segments of a frame that did not fit any more; empty between frames. */
  private readonly leftover: FrameQueue;
  private readonly opened: Port[] = new Array(MAXIMUM_PORTS);
  private openCount = 0;
  private budget = 0;
  private readonly retries = new Set<Port>();
  private readonly nameOf: (port: number) => string;

  /** `nameOf` tells the name of a port by its number, even if it is gone. */
  constructor(pool: FramePool, nameOf: (port: number) => string) {
    this.pool = pool;
    this.nameOf = nameOf;
    this.leftover = new FrameQueue(pool, LEFTOVER_CHUNKS);
  }

  get hasBudget(): boolean {
    return this.budget > 0;
  }

  /** Whether this turn has moved any frame. */
  get hasWorked(): boolean {
    return this.budget < TURN_BUDGET;
  }

  startTurn(now_us: number): void {
    this.now_us = now_us;
    this.budget = TURN_BUDGET;
  }

  /** Enters the port, unless that was done in this turn already. */
  open(port: Port): Entry {
    if (port.isOpen) return 'entered';
    const entry = port.enter();
    if (entry === 'entered') {
      port.busySince_us = 0;
      port.isOpen = true;
      this.opened[this.openCount++] = port;
      if (port.held.length > 0) this.releaseHeld(port);
    } else if (entry === 'busy') {
      this.noteBusy(port);
    } else {
      this.abandon(port);
    }
    return entry;
  }

  /** Ends the turn: shows the drivers what was done and releases all locks. */
  settle(): void {
    for (let i = 0; i < this.openCount; i++) {
      const port = this.opened[i] as Port;
      port.isOpen = false;
      port.leave();
    }
    this.openCount = 0;
  }

  /**
   * Whether a frame to this port should stay with its sender for now: the queue is full, and it was the port's cut that
   * filled it. So a snapshot loses no frame. (A receiver that is merely slow does lose frames, and cannot make its
   * senders wait.)
   */
  mustWait(port: Port, frame: Frame): boolean {
    return this.now_us < port.patientUntil_us && !port.backlog.fits(frame.length, frame.sender);
  }

  /** Delivers the frame, or queues it, or drops and counts it. The frame may be changed, but stays good. */
  deliver(port: Port, frame: Frame): void {
    const entry = this.open(port);
    if (entry === 'inactive') port.count(Counter.inactive_frames);
    else if (entry === 'busy' || port.isStarved || !this.drain(port) || !this.offer(port, frame)) {
      if (this.enqueue(port.backlog, port, frame)) port.count(Counter.queued_frames);
    }
    if (this.leftover.length > 0) port.backlog.prepend(this.leftover);
  }

  /** Delivers what waits for an open port; true when nothing is left. */
  drain(port: Port): boolean {
    const { pool, stored } = this;
    for (let id = port.backlog.head; id !== NONE; id = port.backlog.head) {
      if (port.isStarved) return false;
      pool.load(id, stored);
      if (!this.offer(port, stored)) return false;
      port.stalledSince_us = 0;
      port.backlog.shift();
      pool.release(id);
      if (this.leftover.length > 0) port.backlog.prepend(this.leftover);
    }
    return true;
  }

  dropMalformed(port: Port): void {
    this.budget -= FRAME_COST;
    port.count(Counter.malformed_frames);
  }

  /** Charges the turn for work that this frame makes. */
  charge(frame: Frame): void {
    this.budget -= frame.length + FRAME_COST;
  }

  retryAt(port: Port, time_us: number): void {
    port.retryAt_us = Math.min(port.retryAt_us, time_us);
    this.retries.add(port);
  }

  get nextRetry_us(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const port of this.retries) next = Math.min(next, port.retryAt_us);
    return next;
  }

  /** Calls `retry` with each port whose time has come. */
  takeRetries(now_us: number, retry: (port: Port) => void): void {
    if (this.retries.size === 0) return;
    for (const port of this.retries) {
      if (port.retryAt_us > now_us) continue;
      this.retries.delete(port);
      port.retryAt_us = Number.POSITIVE_INFINITY;
      port.isStarved = false;
      retry(port);
    }
  }

  /** Forgets what waits for a port: its driver is gone. */
  abandon(port: Port): void {
    const lost = port.backlog.clear() + port.held.clear();
    if (lost > 0) port.count(Counter.inactive_frames, lost);
    port.isStarved = false;
    port.stalledSince_us = 0;
    this.retries.delete(port);
    port.retryAt_us = Number.POSITIVE_INFINITY;
  }

  free(): void {
    for (const frame of [this.incoming, this.arrived, this.stored, this.segmenter]) frame.free();
  }

  /** Filters one frame to an open port and hands it over; false when it must wait in the backlog. */
  private offer(port: Port, frame: Frame): boolean {
    const { markers } = this;
    const verdict = markers.verdict(frame.epoch, port.epoch);
    if (verdict === Verdict.hold) return this.hold(port, frame);
    if (verdict === Verdict.drop) {
      port.count(Counter.marker_dropped_frames);
      return true;
    }
    if (!this.handOver(port, frame) && !this.giveUp(port, frame)) return false;
    if (verdict === Verdict.record) {
      port.count(Counter.recorded_frames);
      markers.record(frame, this.nameOf(frame.sender), port.name);
      // It was recorded as a whole: segments of it that are left over must not be recorded again.
      this.leftover.forEach(id => {
        this.pool.setEpoch(id, port.epoch);
      });
    }
    return true;
  }

  /** A driver holds its lock for a moment in a register; only a cut holds it for long. */
  private noteBusy(port: Port): void {
    port.count(Counter.busy);
    this.retryAt(port, this.now_us + RETRY_US);
    if (port.busySince_us === 0) port.busySince_us = this.now_us;
    else if (this.now_us - port.busySince_us >= RETRY_US) port.patientUntil_us = this.now_us + PATIENCE_US;
  }

  private hold(port: Port, frame: Frame): boolean {
    port.patientUntil_us = this.now_us + PATIENCE_US;
    this.retryAt(port, this.now_us + RETRY_US);
    const fits = port.held.store(frame);
    if (fits) port.count(Counter.held_frames);
    this.markers.held(port.name, !fits);
    return fits;
  }

  /** Does for the receiver what it cannot do itself. */
  private handOver(port: Port, frame: Frame): boolean {
    const missing = frame.offloads & ~port.accepts;
    if (missing === 0) return this.give(port, frame);
    if ((missing & SEGMENTATION_OFFLOADS) !== 0) return this.giveSegments(port, frame);
    port.count(Counter.checksummed_frames);
    completeChecksum(frame);
    return this.give(port, frame);
  }

  /** Charges for a frame that is done with only: to find no buffers is no work, and must not keep the thread awake. */
  private give(port: Port, frame: Frame): boolean {
    switch (port.accept(frame)) {
      case 'delivered':
        this.charge(frame);
        port.count(Counter.received_frames);
        port.count(Counter.received_bytes, frame.length);
        return true;
      case 'refused':
        this.charge(frame);
        port.count(Counter.refused_frames);
        return true;
      case 'short':
        port.isStarved = true;
        if (port.stalledSince_us === 0) port.stalledSince_us = this.now_us;
        this.retryAt(port, port.stalledSince_us + STALL_US);
        return false;
      case 'waiting':
        port.isStarved = true;
        return false;
    }
  }

  /** Segments that must wait are left over: they go to the front of the backlog. */
  private giveSegments(port: Port, frame: Frame): boolean {
    const { segmenter, leftover } = this;
    port.count(Counter.segmented_frames);
    segmenter.start(frame);
    for (let segment = segmenter.next(); segment !== undefined; segment = segmenter.next()) {
      if (!port.isStarved && this.give(port, segment)) continue;
      this.charge(segment);
      this.enqueue(leftover, port, segment);
    }
    return true;
  }

  /**
   * The head of the backlog does not fit into the buffers that the driver offers. Should it never offer as many, the
   * port would be stuck: after a while a large frame is cut up, and another one dropped.
   */
  private giveUp(port: Port, frame: Frame): boolean {
    if (port.stalledSince_us === 0 || this.now_us - port.stalledSince_us < STALL_US) return false;
    port.isStarved = false;
    if ((frame.offloads & SEGMENTATION_OFFLOADS) !== 0) return this.giveSegments(port, frame);
    port.count(Counter.refused_frames);
    return true;
  }

  private enqueue(queue: FrameQueue, port: Port, frame: Frame): boolean {
    if (queue.store(frame)) return true;
    port.count(Counter.overflow_frames);
    return false;
  }

  /**
   * The receiver may have made its cut: what was held for it goes before all that came since, which is what its backlog
   * holds (a frame is only held when it is first in line).
   */
  private releaseHeld(port: Port): void {
    const { held, backlog } = port;
    if (this.markers.verdict(this.pool.epoch(held.head), port.epoch) === Verdict.hold) {
      this.retryAt(port, this.now_us + RETRY_US);
    } else {
      backlog.prepend(held);
    }
  }
}
