import { TsvmmError } from '../../vmm/errors.ts';
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

export const NET_HEADER_BYTES = 12;
/** An Ethernet header; behind it at most the largest IP packet and two VLAN tags. */
export const MINIMUM_RECORD_BYTES = NET_HEADER_BYTES + 14;
export const MAXIMUM_RECORD_BYTES = NET_HEADER_BYTES + 14 + 65_535 + 2 * 4;
/** Of one recording, over all frames. More than that in flight is no network between VMs but an accident. */
export const MAXIMUM_CHANNEL_BYTES = 128 * 1024 * 1024;
export const MAXIMUM_FRAME_COUNT = 1_000_000;
export const MAXIMUM_PORT_COUNT = 4096;

/** Collects one recording on the switch's thread, within the bounds above. */
export class ChannelRecorder {
  private readonly epoch: number;
  private readonly frames: RecordedFrame[] = [];
  private byteCount = 0;
  private hasOverflowed = false;

  constructor(epoch: number) {
    this.epoch = epoch;
  }

  /** Takes over `bytes`, which the caller must not change any more. */
  record(sender: PortName, receiver: PortName, epoch: number, bytes: Uint8Array): void {
    const isTooMuch =
      this.byteCount + bytes.length > MAXIMUM_CHANNEL_BYTES || this.frames.length >= MAXIMUM_FRAME_COUNT;
    if (isTooMuch) this.hasOverflowed = true;
    if (this.hasOverflowed) return;
    this.byteCount += bytes.length;
    this.frames.push({ sender, receiver, epoch, bytes });
  }

  /** Throws TSVMM_E_NET if a frame did not fit: then there is no complete recording. */
  finish(): ChannelState {
    if (!this.hasOverflowed) return { epoch: this.epoch, frames: this.frames };
    throw new TsvmmError('TSVMM_E_NET', 'more frames were in flight at the cut than a snapshot can hold', {
      hint: 'lower the delay of impaired links, or the traffic',
      details: { frame_count: this.frames.length, byte_count: this.byteCount },
    });
  }
}

/**
 * The part of a recording that a snapshot of the VMs with these ports can hold: frames to the outside are none of it,
 * and a frame of a VM that has left may still have been on its way.
 */
export function amongPorts(channel: ChannelState, ports: ReadonlySet<PortName>): ChannelState {
  const isAmong = ({ sender, receiver }: RecordedFrame) => ports.has(sender) && ports.has(receiver);
  return { epoch: channel.epoch, frames: channel.frames.filter(isAmong) };
}
