import {
  type ChannelState,
  MINIMUM_RECORD_BYTES,
  NET_HEADER_BYTES,
} from '../../../../snapshot/cluster/channel.ts';
import type { Verdict } from '../../../../snapshot/cluster/filter.ts';
import type { PassingFrame } from './marker-gate.ts';
import { Violation } from './violation.ts';
import type { Body } from './vm.ts';

/** What became of a frame. */
const Fate = { inFlight: 0, received: 1, lost: 2, dropped: 3 } as const;

/** Of the Ethernet frame: just enough to carry its number. */
export const FRAME_BYTES = MINIMUM_RECORD_BYTES - NET_HEADER_BYTES + 4;

export class SimulatedFrame implements PassingFrame {
  readonly id: number;
  readonly link: Link;
  /** Counts the frames of the link, in the order in which they were sent. */
  readonly seq: number;
  readonly epoch: number;
  readonly body: Body;
  readonly length = FRAME_BYTES;
  /** Only under a broken rule: what was decided too early. */
  verdict: Verdict | undefined;

  constructor(id: number, link: Link, epoch: number, body: Body) {
    this.id = id;
    this.link = link;
    this.seq = link.fates.length;
    this.epoch = epoch;
    this.body = body;
  }

  get bytes(): Uint8Array {
    const bytes = Buffer.alloc(NET_HEADER_BYTES + FRAME_BYTES);
    bytes.writeUInt32LE(this.id, MINIMUM_RECORD_BYTES);
    return bytes;
  }

  makePrivate(): void {}
}

export const frameIdOf = (bytes: Uint8Array) =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(MINIMUM_RECORD_BYTES, true);

export interface LinkEnd {
  readonly name: string;
  readonly vm: number;
}

/** All frames that one port ever sent to another: the truth, which the protocol cannot see. */
interface Link {
  readonly sender: LinkEnd;
  readonly receiver: LinkEnd;
  readonly fates: number[];
  readonly received: number[];
}

/** How far each link had come when its two ends were cut for one attempt. */
class CutTruth {
  readonly vms = new Set<number>();
  readonly sentCounts = new Map<Link, number>();
  readonly receivedCounts = new Map<Link, number>();
}

/**
 * Knows everything and tells nobody: sees each frame sent, received and lost, each VM cut, and checks what the
 * protocol publishes against it. The whole specification of a consistent cut is in checkLink().
 */
export class Oracle {
  readonly frames: SimulatedFrame[] = [];
  private readonly links: Link[] = [];
  private readonly linkOf = new Map<LinkEnd, Map<LinkEnd, Link>>();
  private readonly cuts = new Map<number, CutTruth>();
  private readonly isFifo: boolean;

  constructor(isFifo: boolean) {
    this.isFifo = isFifo;
  }

  sent(sender: LinkEnd, receiver: LinkEnd, epoch: number, body: Body): SimulatedFrame {
    const link = this.link(sender, receiver);
    const frame = new SimulatedFrame(this.frames.length, link, epoch, body);
    link.fates.push(Fate.inFlight);
    this.frames.push(frame);
    return frame;
  }

  received({ link, seq }: SimulatedFrame): void {
    if (link.fates[seq] !== Fate.inFlight) throw new Violation(`${name(link)} ${seq} is received twice`);
    if (this.isFifo && seq < (link.received.at(-1) ?? -1)) {
      throw new Violation(`${name(link)} ${seq} is received after ${link.received.at(-1)}`);
    }
    link.fates[seq] = Fate.received;
    link.received.push(seq);
  }

  /** By the network, or with a VM or the switch that died. */
  lost({ link, seq }: SimulatedFrame): void {
    link.fates[seq] = Fate.lost;
  }

  heldByFilter(frame: SimulatedFrame): void {
    this.checkPostToPre(frame);
  }

  droppedByFilter(frame: SimulatedFrame): void {
    this.checkPostToPre(frame);
    frame.link.fates[frame.seq] = Fate.dropped;
  }

  /** The VM's state for the attempt is taken at this instant. */
  vmCut(epoch: number, vm: number): void {
    const cut = this.cuts.get(epoch) ?? new CutTruth();
    this.cuts.set(epoch, cut);
    cut.vms.add(vm);
    for (const link of this.links) {
      if (link.sender.vm === vm) cut.sentCounts.set(link, link.fates.length);
      if (link.receiver.vm === vm) cut.receivedCounts.set(link, link.received.length);
    }
  }

  /** The snapshot of `epoch` is published with this channel state. */
  checkSnapshot(epoch: number, vms: readonly number[], channel: ChannelState): void {
    const cut = this.cuts.get(epoch);
    const uncut = vms.find(vm => !cut?.vms.has(vm));
    if (cut === undefined || uncut !== undefined)
      throw new Violation(`vm${uncut} was never cut for ${epoch}`);
    const recorded = new Map<Link, number[]>();
    for (const { sender, receiver, bytes } of channel.frames) {
      const frame = this.frames[frameIdOf(bytes)];
      if (frame?.link.sender.name !== sender || frame.link.receiver.name !== receiver)
        throw new Violation(`a frame is recorded that was never sent from ${sender} to ${receiver}`);
      const list = recorded.get(frame.link);
      if (list === undefined) recorded.set(frame.link, [frame.seq]);
      else list.push(frame.seq);
    }
    for (const link of this.links) {
      const isInside = vms.includes(link.sender.vm) && vms.includes(link.receiver.vm);
      if (isInside) this.checkLink(link, cut, recorded.get(link) ?? []);
      else if (recorded.has(link)) throw new Violation(`${name(link)} is recorded, but leaves the cluster`);
    }
  }

  /** At the very end, with nothing under way: every frame has met its fate. */
  checkNothingForgotten(): void {
    for (const link of this.links) {
      const forgotten = link.fates.indexOf(Fate.inFlight);
      if (forgotten >= 0) throw new Violation(`${name(link)} ${forgotten} never arrived`);
    }
  }

  checkNothingDropped(): void {
    for (const link of this.links) {
      const dropped = link.fates.indexOf(Fate.dropped);
      if (dropped >= 0) throw new Violation(`${name(link)} ${dropped} was dropped by the filter`);
    }
  }

  /** Nothing else may be kept from its receiver. */
  private checkPostToPre({ epoch, link, seq }: SimulatedFrame): void {
    const cut = this.cuts.get(epoch);
    if (cut?.vms.has(link.sender.vm) && !cut.vms.has(link.receiver.vm)) return;
    throw new Violation(
      `${name(link)} ${seq} is kept back, though it was not sent after the cut of ${epoch} to before it`,
    );
  }

  private checkLink(link: Link, cut: CutTruth, recorded: readonly number[]): void {
    const sentCount = cut.sentCounts.get(link) ?? 0;
    const receivedCount = cut.receivedCounts.get(link) ?? 0;
    const before = link.received.slice(0, receivedCount);
    const orphan = before.find(seq => seq >= sentCount);
    if (orphan !== undefined) {
      throw new Violation(`${name(link)} ${orphan} was received before the cut and sent after it`);
    }
    const arrived = new Set(before);
    const isKept = new Set(recorded);
    if (isKept.size < recorded.length) throw new Violation(`${name(link)}: a frame is recorded twice`);
    for (const seq of recorded) {
      if (seq >= sentCount)
        throw new Violation(`${name(link)} ${seq} was sent after the cut, but is recorded`);
      if (arrived.has(seq))
        throw new Violation(`${name(link)} ${seq} was received before the cut, but is recorded`);
    }
    for (let seq = 0; seq < sentCount; seq++) {
      if (arrived.has(seq) || isKept.has(seq) || isGone(link.fates[seq])) continue;
      throw new Violation(`${name(link)} ${seq} was in flight at the cut, but is not recorded`);
    }
    // A network that reorders may do so in a restore too.
    const late = recorded.findIndex((seq, index) => index > 0 && seq < (recorded[index - 1] as number));
    if (this.isFifo && late >= 0) throw new Violation(`${name(link)}: recorded out of order: ${recorded}`);
  }

  private link(sender: LinkEnd, receiver: LinkEnd): Link {
    let bySender = this.linkOf.get(sender);
    if (bySender === undefined) {
      bySender = new Map();
      this.linkOf.set(sender, bySender);
    }
    let link = bySender.get(receiver);
    if (link === undefined) {
      link = { sender, receiver, fates: [], received: [] };
      bySender.set(receiver, link);
      this.links.push(link);
    }
    return link;
  }
}

const isGone = (fate: number | undefined) => fate === Fate.lost || fate === Fate.dropped;

const name = ({ sender, receiver }: Link) => `${sender.name} > ${receiver.name}:`;
