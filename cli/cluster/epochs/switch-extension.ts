import { Counter, MAXIMUM_PORTS } from '../../../net/counters.ts';
import type { Engine } from '../../../net/engine.ts';
import type { Markers } from '../../../net/markers.ts';
import type { Port } from '../../../net/ports/port.ts';
import { chunkCount } from '../../../net/queues/frame-pool.ts';
import { ChannelRecorder } from '../../../snapshot/cluster/channel.ts';
import { FilterMode, filterFrame, NOT_RECORDING, Verdict } from '../../../snapshot/cluster/filter.ts';
import { Frame } from '../../../vmm/devices/virtio/net/frame.ts';
import { HEADER_BYTES } from '../../../vmm/devices/virtio/net/header.ts';
import { validateOffloads } from '../../../vmm/devices/virtio/net/validate.ts';
import { TsvmmError } from '../../../vmm/errors.ts';
import type { DrainResult, EpochMessage, EpochNotice, InjectedFrame } from './messages.ts';

type Counts = { held: number; dropped: number; recorded: number };

/** The markers of the epoch protocol, in the net thread: filters, records and drains (docs/epoch-protocol.md). */
export class SwitchEpochs implements Markers {
  private readonly engine: Engine;
  private readonly notify: (notice: EpochNotice) => void;
  private mode: FilterMode = FilterMode.off;
  private recordingEpoch = NOT_RECORDING;
  private attemptEpoch = 0;
  private recorder: ChannelRecorder | undefined;
  private before = new Map<string, Counts>();
  /** Ports of which the control side has been told in this attempt. */
  private readonly told = { 'newer-marker': new Set<string>(), 'held-full': new Set<string>() };

  constructor(engine: Engine, notify: (notice: EpochNotice) => void) {
    this.engine = engine;
    this.notify = notify;
    engine.exchange.markers = this;
  }

  handle(message: EpochMessage): DrainResult | undefined {
    switch (message.kind) {
      case 'open':
        this.open(message.epoch, message.mode);
        return undefined;
      case 'drain':
        return this.drain(message.epoch);
      case 'abort':
        this.abort(message.epoch);
        return undefined;
      case 'wake':
        for (const port of message.ports) this.wake(this.engine.portAt(port));
        return undefined;
      case 'inject':
        this.inject(message.frames);
        return undefined;
    }
  }

  verdict(marker: number, epoch: number): Verdict {
    return filterFrame(marker, epoch, this.mode, this.recordingEpoch);
  }

  record(frame: Frame, sender: string, receiver: string): void {
    this.recorder?.record(sender, receiver, frame.epoch, bytesOf(frame));
  }

  held(receiver: string, full: boolean): void {
    this.tell('newer-marker', receiver);
    if (full) this.tell('held-full', receiver);
  }

  private open(epoch: number, mode: FilterMode): void {
    this.attemptEpoch = epoch;
    this.mode = mode;
    this.recordingEpoch = epoch;
    this.recorder = new ChannelRecorder(epoch);
    this.before = this.counts();
    for (const ports of Object.values(this.told)) ports.clear();
  }

  private drain(epoch: number): DrainResult {
    const { recorder, engine } = this;
    if (recorder === undefined || this.recordingEpoch !== epoch) {
      throw new TsvmmError('TSVMM_E_CONFLICT', `the switch does not record epoch ${epoch}`);
    }
    engine.visitWaiting((frame, sender, receiver) => {
      const port = this.portNamed(receiver);
      if (port === undefined || this.verdict(frame.epoch, port.epoch) !== Verdict.record) return;
      port.count(Counter.recorded_frames);
      this.record(frame, sender, receiver);
    });
    this.close();
    const counts = [...this.counts()].map(([name, now]) => {
      const then = this.before.get(name) ?? { held: 0, dropped: 0, recorded: 0 };
      const since = {
        held: now.held - then.held,
        dropped: now.dropped - then.dropped,
        recorded: now.recorded - then.recorded,
      };
      return [name, since] as const;
    });
    return { frames: recorder.finish().frames, counts };
  }

  /** The ports' epochs are raised by the control side before this is sent. */
  private abort(epoch: number): void {
    if (epoch < this.attemptEpoch) return;
    this.close();
    for (const port of this.ports()) this.wake(port);
  }

  private close(): void {
    this.mode = FilterMode.off;
    this.recordingEpoch = NOT_RECORDING;
    this.recorder = undefined;
  }

  private wake(port: Port | undefined): void {
    if (port === undefined) return;
    port.retryAt_us = 0;
    this.engine.schedule(port);
  }

  /** Into the queues that come before anything new, all of them, however much was in flight. */
  private inject(frames: readonly InjectedFrame[]): void {
    this.engine.pool.reserve(
      frames.reduce((sum, { bytes }) => sum + chunkCount(bytes.length - HEADER_BYTES), 0),
    );
    const frame = new Frame();
    for (const { sender, receiver, epoch, bytes } of frames) {
      const port = this.engine.portAt(receiver);
      if (port === undefined) continue;
      frame.bytes.set(bytes);
      frame.reset(bytes.length - HEADER_BYTES);
      frame.privateLength = frame.length;
      frame.epoch = epoch;
      frame.sender = sender;
      if (validateOffloads(frame)) port.backlog.storeAnyway(frame);
      else port.count(Counter.malformed_frames);
      this.engine.schedule(port);
    }
    frame.free();
  }

  private tell(kind: EpochNotice['kind'], port: string): void {
    if (this.told[kind].has(port)) return;
    this.told[kind].add(port);
    this.notify({ kind, port, epoch: this.attemptEpoch });
  }

  private counts(): Map<string, Counts> {
    const counts = new Map<string, Counts>();
    for (const { name, counters } of this.ports()) {
      counts.set(name, {
        held: counters[Counter.held_frames] as number,
        dropped: counters[Counter.marker_dropped_frames] as number,
        recorded: counters[Counter.recorded_frames] as number,
      });
    }
    return counts;
  }

  private portNamed(name: string): Port | undefined {
    return this.ports().find(port => port.name === name);
  }

  private ports(): Port[] {
    return Array.from({ length: MAXIMUM_PORTS }, (_, id) => this.engine.portAt(id)).filter(
      port => port !== undefined,
    );
  }
}

function bytesOf(frame: Frame): Uint8Array {
  frame.makePrivate();
  return frame.bytes.slice(0, HEADER_BYTES + frame.length);
}
