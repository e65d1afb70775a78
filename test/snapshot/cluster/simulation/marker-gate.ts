import {
  ChannelRecorder,
  type ChannelState,
  NET_HEADER_BYTES,
} from '../../../../snapshot/cluster/channel.ts';
import {
  FilterMode,
  type FilterModeName,
  filterFrame,
  NOT_RECORDING,
  Verdict,
} from '../../../../snapshot/cluster/filter.ts';
import type { PortName } from '../../../../snapshot/cluster/protocol.ts';

/** The part of a frame in the switch that the gate looks at. */
export interface PassingFrame {
  /** The marker. */
  readonly epoch: number;
  /** Of the Ethernet frame, without the virtio_net_hdr. */
  readonly length: number;
  /** The virtio_net_hdr and the frame, as far as it is private. */
  readonly bytes: Uint8Array;
  /** Fetches what of it still lies in the sender's memory. */
  makePrivate(): void;
}

/** Hears what the coordinator has to know; once per port and attempt each. */
export interface GateListener {
  newerMarker(port: PortName, epoch: number): void;
  heldFull(port: PortName, epoch: number): void;
}

/** Calls back with each frame that waits in the switch, those of one port in the order in which it would get them. */
export type VisitWaiting = (
  visit: (frame: PassingFrame, sender: PortName, receiver: PortName) => void,
) => void;

/**
 * The switch's side of an attempt: the filter's mode and the recording. open(), drain() and abort() happen between
 * frames. What cli/cluster/epochs does in the net thread, without a net thread.
 */
export class MarkerGate {
  private readonly listener: GateListener;
  private readonly filter: typeof filterFrame;
  private mode: FilterMode = FilterMode.off;
  private recordingEpoch: number = NOT_RECORDING;
  private recorder = new ChannelRecorder(NOT_RECORDING);
  /** The attempt opened or aborted last: messages of earlier ones come too late, and a second open() too. */
  private lastEpoch = 0;
  private readonly reportedNewer = new Set<PortName>();
  private readonly reportedFull = new Set<PortName>();

  /** `filter` is replaced by tests that want to see a wrong one caught. */
  constructor(listener: GateListener, filter: typeof filterFrame = filterFrame) {
    this.listener = listener;
    this.filter = filter;
  }

  verdict(marker: number, epoch: number): Verdict {
    return this.filter(marker, epoch, this.mode, this.recordingEpoch);
  }

  record(frame: PassingFrame, sender: PortName, receiver: PortName): void {
    frame.makePrivate();
    const bytes = frame.bytes.slice(0, NET_HEADER_BYTES + frame.length);
    this.recorder.record(sender, receiver, frame.epoch, bytes);
  }

  /** Only frames of the attempt under way are ever ahead of a port, so it is known for which epoch. */
  held(receiver: PortName, full: boolean): void {
    if (!this.reportedNewer.has(receiver)) {
      this.reportedNewer.add(receiver);
      this.listener.newerMarker(receiver, this.lastEpoch);
    }
    if (full && !this.reportedFull.has(receiver)) {
      this.reportedFull.add(receiver);
      this.listener.heldFull(receiver, this.lastEpoch);
    }
  }

  open(epoch: number, mode: FilterModeName): void {
    if (epoch <= this.lastEpoch) return;
    this.lastEpoch = epoch;
    this.mode = FilterMode[mode];
    this.recordingEpoch = epoch;
    this.recorder = new ChannelRecorder(epoch);
    this.reportedNewer.clear();
    this.reportedFull.clear();
  }

  /**
   * Records what still waits and ends the recording, in one step: a frame leaves the switch before it, and was recorded
   * on its way, or is seen here; never both. Undefined when this attempt is not recorded (any more); throws
   * TSVMM_E_NET when it was too much to be recorded.
   */
  drain(epoch: number, visitWaiting: VisitWaiting): ChannelState | undefined {
    if (epoch !== this.recordingEpoch) return undefined;
    visitWaiting((frame, sender, receiver) => {
      // Every VM has crossed; frames to the outside are left out when the channel is written (amongPorts).
      if (this.verdict(frame.epoch, epoch) === Verdict.record) this.record(frame, sender, receiver);
    });
    this.recordingEpoch = NOT_RECORDING;
    return this.recorder.finish();
  }

  /** False when it came too late: another attempt is under way already. */
  abort(epoch: number): boolean {
    if (epoch < this.lastEpoch) return false;
    this.lastEpoch = epoch;
    this.mode = FilterMode.off;
    this.recordingEpoch = NOT_RECORDING;
    this.recorder = new ChannelRecorder(NOT_RECORDING);
    return true;
  }
}
