import type { Frame } from '../../vmm/devices/virtio/net/frame.ts';
import type { Received } from '../../vmm/devices/virtio/net/handler.ts';
import type { Entry } from '../../vmm/devices/virtio/served-device.ts';
import type { PortTable } from '../counters.ts';
import type { Exchange } from '../exchange.ts';
import type { Impairment } from '../impairment.ts';
import { Recent } from '../mac-table.ts';
import type { Network } from '../network.ts';
import type { FramePool } from '../queues/frame-pool.ts';
import { FrameQueue } from '../queues/frame-queue.ts';

/** What all kinds of ports are made with. */
export interface PortSetup {
  /** Number of the port in the PortTable. */
  readonly id: number;
  /** For captures and messages: "vm/net0", or the tap's name. */
  readonly name: string;
}

/** Chunks of 2 KiB that frames waiting for one receiver may fill: half of it with those of one sender. */
const BACKLOG_CHUNKS = 2048;
const HELD_CHUNKS = 2048;

/**
 * A place where frames enter and leave the switch. Between enter() and leave() the device behind it stands still for
 * us: only then frames are taken from it and given to it.
 */
export abstract class Port {
  readonly id: number;
  readonly name: string;
  readonly network: Network;
  readonly counters: Float64Array;
  /** Frames that wait for buffers or for the lock; frames that wait for the receiver's cut. */
  readonly backlog: FrameQueue;
  readonly held: FrameQueue;
  /** Of the frames that it sends. */
  impairment: Impairment | undefined;
  /** Offload bits that its receiver takes. Good after enter(). */
  accepts = 0;

  /** Used by the Engine: in its queue of ports that want a turn; watched by polling; gone. */
  isReady = false;
  isWatched = false;
  isDetached = false;
  /** What it sends must wait for a receiver: not worth a look before the retry. */
  isBlocked = false;
  /** Used by the Exchange: entered in this turn; no buffers, a notification will come. */
  isOpen = false;
  /** Its lock has been found held since, or 0; its senders should have patience. */
  busySince_us = 0;
  patientUntil_us = 0;
  isStarved = false;
  stalledSince_us = 0;
  retryAt_us = Number.POSITIVE_INFINITY;

  /** What the network's table said of the last frame's addresses. */
  readonly source = new Recent<Port>();
  readonly destination = new Recent<Port>();
  /** Chunks of its frames that are under way on an impaired link. */
  delayedChunks = 0;

  private readonly table: PortTable;

  constructor({ id, name }: PortSetup, network: Network, table: PortTable, pool: FramePool) {
    this.id = id;
    this.name = name;
    this.network = network;
    this.table = table;
    this.counters = table.countersOf(id);
    this.backlog = new FrameQueue(pool, BACKLOG_CHUNKS);
    this.held = new FrameQueue(pool, HELD_CHUNKS);
  }

  /** Exact between enter() and leave(). */
  get epoch(): number {
    return this.table.epoch(this.id);
  }

  count(counter: number, by = 1): void {
    this.counters[counter] = (this.counters[counter] as number) + by;
  }

  abstract enter(): Entry;
  abstract leave(): void;

  /** Takes a frame that needs no more than `accepts`. Between enter() and leave(). */
  abstract accept(frame: Frame): Received;

  /**
   * Sends what is there, as much as one turn allows. Between enter() and leave(). True when there is more, false
   * when a notification or a poll will tell of it.
   */
  abstract transmit(exchange: Exchange): boolean;

  /** Whether there is something to send, as far as can be told without entering. */
  abstract get hasWork(): boolean;

  /** Stops being polled; between enter() and leave(). True when there is work after all. */
  abstract awaitNotification(): boolean;
}
