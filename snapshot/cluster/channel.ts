import type { PortName } from './protocol.ts';

/**
 * The state of the channels at the cut: the frames that were sent before it and not yet received. A frame is what
 * virtio-net carries, so that offloads asked for by the sender survive: struct virtio_net_hdr_v1 (virtio 1.2 section
 * 5.1.6), then the Ethernet frame without FCS.
 */
export interface RecordedFrame {
  readonly sender: PortName;
  readonly receiver: PortName;
  /** The marker with which it was sent: smaller than the channel's epoch. */
  readonly epoch: number;
  readonly bytes: Uint8Array;
}

export interface ChannelState {
  readonly epoch: number;
  /** In the order in which a restore delivers them: of one sender and receiver, the order of arrival. */
  readonly frames: readonly RecordedFrame[];
}

const NET_HEADER_BYTES = 12;
const ETHERNET_HEADER_BYTES = 14;
export const MINIMUM_FRAME_BYTES = NET_HEADER_BYTES + ETHERNET_HEADER_BYTES;
/** What a receiver with GSO must be ready for (virtio 1.2 section 5.1.6.3.1). */
export const MAXIMUM_FRAME_BYTES = 65_562;
/** Of one recording, over all frames. More than that in flight is no network between VMs but an accident. */
export const MAXIMUM_CHANNEL_BYTES = 128 * 1024 * 1024;
export const MAXIMUM_FRAME_COUNT = 1_000_000;
export const MAXIMUM_PORT_COUNT = 4096;

/** Collects one recording on the switch's thread, within the bounds above. */
export class ChannelRecorder {
  readonly epoch: number;
  private readonly frames: RecordedFrame[] = [];
  private byteCount = 0;
  private isOverfull = false;

  constructor(epoch: number) {
    this.epoch = epoch;
  }

  /** True once a frame did not fit: then there is no complete recording, and the attempt must fail. */
  get hasOverflowed(): boolean {
    return this.isOverfull;
  }

  /** Takes over `bytes`, which the caller must not change any more. */
  record(sender: PortName, receiver: PortName, epoch: number, bytes: Uint8Array): void {
    this.byteCount += bytes.length;
    if (this.byteCount > MAXIMUM_CHANNEL_BYTES || this.frames.length >= MAXIMUM_FRAME_COUNT) {
      this.isOverfull = true;
      return;
    }
    this.frames.push({ sender, receiver, epoch, bytes });
  }

  finish(): ChannelState {
    return { epoch: this.epoch, frames: this.frames };
  }
}

/**
 * The part of a recording that a snapshot of the VMs with these ports can hold: a frame of a VM that has left may still
 * have been on its way.
 */
export function amongPorts(channel: ChannelState, ports: ReadonlySet<PortName>): ChannelState {
  const isAmong = ({ sender, receiver }: RecordedFrame) => ports.has(sender) && ports.has(receiver);
  return { epoch: channel.epoch, frames: channel.frames.filter(isAmong) };
}
