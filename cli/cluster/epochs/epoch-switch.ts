import type { Networks } from '../../../net/index.ts';
import type { ChannelState } from '../../../snapshot/cluster/channel.ts';
import { FilterMode, type FilterModeName } from '../../../snapshot/cluster/filter.ts';
import type { EpochSwitch, SwitchListener, SwitchRecording } from '../../../snapshot/cluster/interfaces.ts';
import { PortEpochs } from '../../../snapshot/cluster/port-epochs.ts';
import type { DrainResult, EpochMessage, EpochNotice } from './messages.ts';

/** The ports of a cluster by name, and their numbers in the switch while they are plugged in. */
export interface PortNumbers {
  keys(): Iterable<string>;
  get(port: string): number | undefined;
}

/** The switch of this process, as the coordination of snapshots sees it. */
export class NetEpochSwitch implements EpochSwitch {
  private readonly networks: Networks;
  private readonly ports: PortNumbers;
  private readonly epochs: PortEpochs;
  private listener: SwitchListener | undefined;

  constructor(networks: Networks, ports: PortNumbers) {
    this.networks = networks;
    this.ports = ports;
    this.epochs = new PortEpochs(networks.table.buffers.epochs);
  }

  listen(listener: SwitchListener): void {
    this.listener = listener;
    const { onFailure } = this.networks;
    this.networks.onFailure = error => {
      listener.died(error);
      onFailure(error);
    };
    this.networks.onNotice = notice => {
      const { kind, port, epoch } = notice as EpochNotice;
      if (kind === 'newer-marker') listener.newerMarker(port, epoch);
      else listener.heldFull(port, epoch);
    };
  }

  /** To be called before `port` leaves the switch. */
  unplugging(port: string): void {
    this.listener?.unplugging(port);
  }

  async open(epoch: number, mode: FilterModeName): Promise<void> {
    await this.send({ kind: 'open', epoch, mode: FilterMode[mode] });
  }

  cutPort(port: string, epoch: number): void {
    const number = this.numberOf(port);
    if (number !== undefined) this.epochs.raise(number, epoch);
  }

  releaseHeld(ports: readonly string[]): void {
    const numbers = ports.map(port => this.numberOf(port)).filter(number => number !== undefined);
    if (numbers.length > 0) void this.send({ kind: 'wake', ports: numbers }).catch(() => {});
  }

  async drain(epoch: number): Promise<SwitchRecording> {
    const { frames, counts } = (await this.send({ kind: 'drain', epoch })) as DrainResult;
    return {
      channel: { epoch, frames },
      counts: new Map(
        counts.map(([port, { held, dropped, recorded }]) => [
          port,
          { held_count: held, dropped_count: dropped, recorded_count: recorded },
        ]),
      ),
    };
  }

  async abort(epoch: number): Promise<void> {
    for (const port of this.ports.keys()) this.cutPort(port, epoch);
    await this.send({ kind: 'abort', epoch });
  }

  /** Hands recorded frames to their receivers before any other frame flows. Before the cluster is released. */
  async inject(channel: ChannelState): Promise<void> {
    const frames = channel.frames.flatMap(({ sender, receiver, epoch, bytes }) => {
      const to = this.numberOf(receiver);
      return to === undefined ? [] : [{ sender: this.numberOf(sender) ?? -1, receiver: to, epoch, bytes }];
    });
    await this.send({ kind: 'inject', frames });
  }

  private numberOf(port: string): number | undefined {
    return this.ports.get(port);
  }

  private send(message: EpochMessage): Promise<unknown> {
    return this.networks.extension(message);
  }
}
