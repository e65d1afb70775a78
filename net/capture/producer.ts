import { type Frame, MAXIMUM_FRAME_BYTES } from '../../vmm/devices/virtio/net/frame.ts';
import { copyScattered, ScatterList } from '../../vmm/devices/virtio/net/scatter-list.ts';
import { hva } from '../../vmm/memory/address.ts';
import { allocateHostBuffer } from '../../vmm/memory/host-buffer.ts';
import { type Markers, Verdict, verdictNames } from '../markers.ts';
import type { Port } from '../ports/port.ts';
import {
  interfaceDescription,
  interfaceStatistics,
  PACKET_PREFIX_BYTES,
  packetBlockLength,
  packetOptions,
  packetPadding,
  STATISTICS_BYTES,
  sectionHeader,
  writePacketPrefix,
} from './pcapng.ts';
import type { CaptureRing } from './ring.ts';

/** Prefix, and whatever follows the data: padding, options with a comment, length. */
const STAGING_BYTES = 4096;
const SUFFIX_OFFSET = PACKET_PREFIX_BYTES;
const MAXIMUM_PIECES = 600;

interface Interface {
  readonly id: number;
  received: number;
  dropped: number;
}

export interface CaptureOptions {
  /** Bytes of each frame that are captured; 0 for all. */
  readonly snapLength: number;
  /** Nanoseconds since 1970. */
  readonly clock_ns: () => bigint;
}

/**
 * Writes the frames of one network into a ring, as a pcapng stream. Each frame appears once, when the switch has decided
 * where it goes, as received on the interface of the port that sent it. What does not fit into the ring is dropped and
 * counted in the interface's statistics.
 */
export class CaptureProducer {
  private readonly ring: CaptureRing;
  private readonly options: CaptureOptions;
  private readonly interfaces = new Map<Port, Interface>();
  private readonly staging = allocateHostBuffer(STAGING_BYTES);
  private readonly source = new ScatterList(MAXIMUM_PIECES);
  private readonly target = new ScatterList(2);
  /** Consecutive frames mostly have the same comment. */
  private comment = '';
  private commentOptions = packetOptions('');

  constructor(ring: CaptureRing, options: CaptureOptions) {
    this.ring = ring;
    this.options = options;
    this.append(sectionHeader());
  }

  /** `to` is undefined when the frame goes to all ports. */
  add(frame: Frame, from: Port, to: Port | undefined, markers: Markers): void {
    const port = this.interfaceOf(from);
    if (port === undefined) return;
    this.setComment(describe(frame, from, to, markers));
    const { snapLength } = this.options;
    const captured = snapLength === 0 ? frame.length : Math.min(frame.length, snapLength);
    if (this.write(port.id, frame, captured)) port.received++;
    else port.dropped++;
  }

  /** Ends the stream with the statistics. */
  finish(): void {
    const now_ns = this.options.clock_ns();
    for (const { id, received, dropped } of this.interfaces.values()) {
      this.append(interfaceStatistics(id, now_ns, { received: received + dropped, dropped }));
    }
    this.staging.free();
  }

  private write(interfaceId: number, frame: Frame, captured: number): boolean {
    const { commentOptions, ring, staging, source, target } = this;
    const padding = packetPadding(captured);
    const blockLength = packetBlockLength(captured, commentOptions.length);
    // So that the end of the stream, with the number of those dropped, fits in any case.
    const spare = this.interfaces.size * STATISTICS_BYTES;
    if (!ring.reserve(blockLength, target, spare)) return false;
    const time_ns = this.options.clock_ns();
    writePacketPrefix(staging.view, { blockLength, interfaceId, time_ns, captured, original: frame.length });
    staging.bytes.fill(0, SUFFIX_OFFSET, SUFFIX_OFFSET + padding);
    staging.bytes.set(commentOptions, SUFFIX_OFFSET + padding);
    const suffixLength = padding + commentOptions.length + 4;
    staging.view.setUint32(SUFFIX_OFFSET + suffixLength - 4, blockLength, true);

    source.reset();
    appendData(source, frame, captured);
    source.append(staging.address + SUFFIX_OFFSET, suffixLength);
    copyScattered(staging.address, PACKET_PREFIX_BYTES, source, target);
    ring.commit(blockLength);
    return true;
  }

  /** The port's interface, described in the stream before its first frame; undefined when that has no room. */
  private interfaceOf(port: Port): Interface | undefined {
    const known = this.interfaces.get(port);
    if (known !== undefined) return known;
    if (!this.append(interfaceDescription(port.name, this.options.snapLength))) return undefined;
    const created = { id: this.interfaces.size, received: 0, dropped: 0 };
    this.interfaces.set(port, created);
    return created;
  }

  private setComment(comment: string): void {
    if (comment === this.comment) return;
    this.comment = comment;
    this.commentOptions = packetOptions(comment);
  }

  private append(block: Uint8Array): boolean {
    const { ring, staging, target, source } = this;
    if (!ring.reserve(block.length, target)) return false;
    staging.bytes.set(block);
    source.reset();
    copyScattered(staging.address, block.length, source, target);
    ring.commit(block.length);
    return true;
  }
}

function appendData(source: ScatterList, frame: Frame, captured: number): void {
  source.append(frame.payloadAddress, Math.min(captured, frame.privateLength));
  let left = captured - frame.privateLength;
  for (let i = 0; i < frame.rest.count && left > 0; i++) {
    source.append(hva(frame.rest.address(i)), Math.min(left, frame.rest.length(i)));
    left -= frame.rest.length(i);
  }
}

/** Epochs are read without the receivers' locks, so a cut at this very moment may show either way. */
function describe(frame: Frame, from: Port, to: Port | undefined, markers: Markers): string {
  const start = `epoch=${frame.epoch} from=${from.name}`;
  const decision = (port: Port) => verdictNames[markers.verdict(frame.epoch, port.epoch)];
  if (to !== undefined) return `${start} to=${to.name} to_epoch=${to.epoch} decision=${decision(to)}`;
  const special = from.network.ports
    .filter(port => port !== from && markers.verdict(frame.epoch, port.epoch) !== Verdict.deliver)
    .map(port => ` ${port.name}:${decision(port)}`);
  return `${start} to=* decision=deliver${special.join('')}`;
}

/** A ring smaller than this could not hold the largest frame. */
export const MINIMUM_RING_BYTES = 2 ** Math.ceil(Math.log2(MAXIMUM_FRAME_BYTES + STAGING_BYTES));
