/** What is counted for each port. Sent and received are seen from the VM or the host behind the port. */
export const counterNames = [
  'sent_frames',
  'sent_bytes',
  'received_frames',
  'received_bytes',
  /** Sent to an address not known, or to a group. */
  'flooded_frames',
  /** Waited in the port's queue for receive buffers, or for its lock. */
  'queued_frames',
  /** Times that sending had to wait, as the receiver makes its cut and its queue is full. */
  'blocked',
  /** Post-to-pre frames that were held, or dropped, by the marker filter; pre-to-post frames recorded. */
  'held_frames',
  'marker_dropped_frames',
  'recorded_frames',
  /** Dropped on the way in: header contradicts frame; longer than the MTU; impairment; its queue is full. */
  'malformed_frames',
  'oversize_frames',
  'impaired_frames',
  'delay_overflow_frames',
  /** Dropped on the way out: queue full; no buffers that could hold it; not wanted; nobody there. */
  'overflow_frames',
  'refused_frames',
  'inactive_frames',
  /** Frames whose checksum was completed, or that were segmented, for this receiver. */
  'checksummed_frames',
  'segmented_frames',
  /** The table of addresses was full. */
  'unlearned_frames',
  /** Turns that the port had, how many of them a notification or a poll started, and locks found held. */
  'turns',
  'kicks',
  'polls',
  'busy',
  /** Times that the driver broke the rules. */
  'violations',
] as const;

export type CounterName = (typeof counterNames)[number];
export type PortCounters = Record<CounterName, number>;

export const Counter = Object.fromEntries(counterNames.map((name, index) => [name, index])) as Readonly<
  Record<CounterName, number>
>;

export const MAXIMUM_PORTS = 256;
const COUNTERS_PER_PORT = 32;

/** The shared memory of a PortTable, to be handed to another thread. */
export interface PortTableBuffers {
  readonly counters: SharedArrayBuffer;
  /** One signed word for each port: what snapshot/cluster takes as PortEpochs. */
  readonly epochs: SharedArrayBuffer;
}

/**
 * Shared memory of all ports. Counters are written by the net thread alone and may be read at any time. The epoch of a
 * port is written by whoever makes its cut, holding the device's lock, and read by the net thread under the same lock:
 * so each frame is on exactly one side.
 */
export class PortTable {
  readonly buffers: PortTableBuffers;
  private readonly counters: Float64Array;
  private readonly epochs: Int32Array;

  static allocate(): PortTableBuffers {
    return {
      counters: new SharedArrayBuffer(MAXIMUM_PORTS * COUNTERS_PER_PORT * 8),
      epochs: new SharedArrayBuffer(MAXIMUM_PORTS * 4),
    };
  }

  constructor(buffers: PortTableBuffers) {
    this.buffers = buffers;
    this.counters = new Float64Array(buffers.counters);
    this.epochs = new Int32Array(buffers.epochs);
  }

  /** The counters of one port, by the numbers of `Counter`. */
  countersOf(port: number): Float64Array {
    return this.counters.subarray(port * COUNTERS_PER_PORT, (port + 1) * COUNTERS_PER_PORT);
  }

  snapshot(port: number): PortCounters {
    const values = this.countersOf(port);
    return Object.fromEntries(counterNames.map((name, index) => [name, values[index]])) as PortCounters;
  }

  epoch(port: number): number {
    return Atomics.load(this.epochs, port);
  }

  /** For a port that no frame flows through yet: sets its epoch, and its counters to 0. */
  reset(port: number, epoch: number): void {
    this.countersOf(port).fill(0);
    Atomics.store(this.epochs, port, epoch);
  }
}
