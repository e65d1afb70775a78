import type { Frame } from '../vmm/devices/virtio/net/frame.ts';
import { MINIMUM_FRAME_BYTES } from '../vmm/devices/virtio/net/frame.ts';
import { SEGMENTATION_OFFLOADS } from '../vmm/devices/virtio/net/header.ts';
import type { CaptureProducer } from './capture/producer.ts';
import { Counter } from './counters.ts';
import type { Exchange } from './exchange.ts';
import { type Impairment, LOST } from './impairment.ts';
import { isGroup } from './mac.ts';
import { MacTable } from './mac-table.ts';
import type { Port } from './ports/port.ts';
import type { DelayLine } from './queues/delay-line.ts';
import { chunkCount, type FramePool, NONE } from './queues/frame-pool.ts';

export interface NetworkSetup {
  readonly name: string;
  readonly mtu: number;
  readonly ageing_us: number;
}

const TABLE_CAPACITY = 4096;
const TABLE_CAPACITY_PER_PORT = 512;

/** Chunks of 2 KiB that the frames of one port may fill while they are under way: 16 MiB. */
const DELAYED_CHUNKS = 8192;

/** Beside the MTU: the Ethernet header and two VLAN tags. */
const FRAMING_BYTES = MINIMUM_FRAME_BYTES + 8;

/** A learning switch (IEEE 802.1Q, without spanning tree and VLAN awareness): decides where frames go. */
export class Network {
  readonly name: string;
  readonly ports: Port[] = [];
  readonly table: MacTable<Port>;
  capture: CaptureProducer | undefined;
  private readonly maximumLength: number;
  private readonly pool: FramePool;
  private readonly delayed: DelayLine;

  constructor({ name, mtu, ageing_us }: NetworkSetup, pool: FramePool, delayed: DelayLine) {
    this.name = name;
    this.maximumLength = mtu + FRAMING_BYTES;
    this.pool = pool;
    this.delayed = delayed;
    this.table = new MacTable({
      capacity: TABLE_CAPACITY,
      capacityPerPort: TABLE_CAPACITY_PER_PORT,
      ageing_us,
    });
  }

  attach(port: Port): void {
    this.ports.push(port);
  }

  detach(port: Port): void {
    this.ports.splice(this.ports.indexOf(port), 1);
    this.table.forget(port);
  }

  /**
   * A frame comes in through `from`; its offloads have been validated. False when it must stay with the sender for now
   * (see Exchange.mustWait).
   */
  ingress(from: Port, frame: Frame, exchange: Exchange): boolean {
    frame.sender = from.id;
    if (frame.length > this.maximumLength && (frame.offloads & SEGMENTATION_OFFLOADS) === 0) {
      from.count(Counter.oversize_frames);
    } else if (from.impairment !== undefined) {
      this.impair(from, from.impairment, frame, exchange.now_us);
    } else if (!this.forward(from, frame, exchange)) {
      from.count(Counter.blocked);
      return false;
    }
    exchange.charge(frame);
    from.count(Counter.sent_frames);
    from.count(Counter.sent_bytes, frame.length);
    return true;
  }

  /** A frame has crossed its sender's link. False when it must stay there for now. */
  forward(from: Port, frame: Frame, exchange: Exchange): boolean {
    const { table, capture } = this;
    const { now_us } = exchange;
    if (!table.learnAgain(from.source, frame.source, from, now_us)) from.count(Counter.unlearned_frames);
    const { destination } = frame;
    const to = isGroup(destination) ? undefined : table.findAgain(from.destination, destination, now_us);
    if (to === undefined) {
      this.flood(from, frame, exchange);
      return true;
    }
    // A frame is never sent back to where it came from (no hairpin).
    if (to === from) return true;
    if (exchange.mustWait(to, frame)) return false;
    capture?.add(frame, from, to, exchange.markers);
    exchange.deliver(to, frame);
    return true;
  }

  /** Calls `visit` with each port that the frame would go to now. */
  receivers(from: Port, frame: Frame, now_us: number, visit: (port: Port) => void): void {
    const { destination } = frame;
    const to = isGroup(destination) ? undefined : this.table.find(destination, now_us);
    for (const port of this.ports) {
      if (port !== from && (to === undefined || to === port)) visit(port);
    }
  }

  private flood(from: Port, frame: Frame, exchange: Exchange): void {
    from.count(Counter.flooded_frames);
    this.capture?.add(frame, from, undefined, exchange.markers);
    for (const port of this.ports) {
      if (port !== from) exchange.deliver(port, frame);
    }
  }

  private impair(from: Port, impairment: Impairment, frame: Frame, now_us: number): void {
    const arrival_us = impairment.arrival_us(frame.length, now_us);
    if (arrival_us === LOST) {
      from.count(Counter.impaired_frames);
      return;
    }
    const chunks = chunkCount(frame.length);
    const fits = from.delayedChunks + chunks <= DELAYED_CHUNKS && !this.delayed.isFull;
    const id = fits ? this.pool.store(frame) : NONE;
    if (id === NONE) {
      from.count(Counter.delay_overflow_frames);
      return;
    }
    from.delayedChunks += chunks;
    this.delayed.add(id, arrival_us);
  }
}
