import type { Writable } from 'node:stream';
import { TsvmmError } from '../vmm/errors.ts';
import { IoThread } from '../vmm/io/io-thread.ts';
import { Capture } from './capture/capture.ts';
import { MINIMUM_RING_BYTES } from './capture/producer.ts';
import { CaptureRing } from './capture/ring.ts';
import { type PortCounters, PortTable } from './counters.ts';
import { type ImpairmentConfig, validateImpairment } from './impairment.ts';
import { OUTSIDE } from './markers.ts';
import type { NetMessage, NetThreadSetup } from './messages.ts';
import { type NicOptions, NicPlug } from './nic-plug.ts';
import {
  type NetworkConfig,
  type NetworkRecord,
  type PortKind,
  type PortRecord,
  Registry,
} from './registry.ts';
import { openTap } from './tap/tap-device.ts';

export interface PortStatus {
  readonly network: string;
  /** "vm/net0", or the tap's name. */
  readonly port: string;
  readonly kind: PortKind;
  readonly epoch: number;
  readonly counters: PortCounters;
}

export interface CaptureRequest {
  /** Bytes of each frame that are kept; 0, the default, for all. */
  readonly snapLength?: number;
  /** Room for frames that the sink has not taken yet, at least; 4 MiB by default. */
  readonly ringBytes?: number;
}

/** A thread's module, as startThread takes it. */
export interface ThreadModule {
  readonly callerUrl: string;
  readonly relative: string;
}

const DEFAULT_AGEING_S = 300;
const DEFAULT_RING_BYTES = 4 * 2 ** 20;

/**
 * All networks of this process, on the control side. Frames are switched in a thread of their own, which starts with
 * the first network; here are names, life cycles and numbers.
 */
export class Networks {
  /** Counters and epochs of all ports, by PortStatus order or by NicPlug.portId. */
  readonly table = new PortTable(PortTable.allocate());
  /** Called with what the thread's extension says unasked. */
  onNotice: (notice: unknown) => void = () => {};
  /** Called once when the thread has failed: no frame flows any more. */
  onFailure: (error: Error) => void = () => {};
  private readonly registry = new Registry();
  private readonly threadModule: ThreadModule;
  private thread: IoThread<NetMessage, unknown> | undefined;

  /** `threadModule` is one that calls serveNet with an extension; by default the thread has none. */
  constructor(threadModule: ThreadModule = { callerUrl: import.meta.url, relative: './net-thread' }) {
    this.threadModule = threadModule;
  }

  /**
   * Creates a network, with its tap if it has one. Throws TSVMM_E_CONFLICT, TSVMM_E_CONFIG, and what openTap
   * throws; nothing is left behind then.
   */
  async create(config: NetworkConfig): Promise<void> {
    if (config.impairment !== undefined) validateImpairment(config.impairment);
    const record = this.registry.addNetwork(config);
    try {
      const { name, ageing_s = DEFAULT_AGEING_S } = config;
      const setup = { name, mtu: record.mtu, ageing_us: ageing_s * 1e6 };
      if (config.tap !== undefined) record.tap = openTap(config.tap, record.mtu);
      await this.send({ kind: 'create-network', network: record.number, setup });
      if (record.tap !== undefined) await this.attachTap(record, record.tap);
    } catch (error) {
      record.tap?.close();
      this.registry.removeNetwork(record);
      throw error;
    }
  }

  /** Removes a network and its tap; NICs that are still attached lose their link. Throws TSVMM_E_NOT_FOUND. */
  async destroy(name: string): Promise<void> {
    const record = this.registry.network(name);
    try {
      await record.capture?.stop().catch(() => {});
      await this.send({ kind: 'destroy-network', network: record.number });
    } finally {
      record.tap?.close();
      this.registry.removeNetwork(record);
    }
  }

  /** A network card to compose a machine with. Throws TSVMM_E_NOT_FOUND, TSVMM_E_CONFIG. */
  nic(options: NicOptions): NicPlug {
    if (options.impairment !== undefined) validateImpairment(options.impairment);
    const network = this.registry.network(options.network);
    return new NicPlug(options, network, {
      registry: this.registry,
      table: this.table,
      send: message => this.send(message),
    });
  }

  /** Makes the link of one port worse, or perfect again. Throws TSVMM_E_NOT_FOUND, TSVMM_E_CONFIG. */
  async impair(network: string, port: string, impairment: ImpairmentConfig | undefined): Promise<void> {
    if (impairment !== undefined) validateImpairment(impairment);
    await this.send({ kind: 'impair', port: this.registry.port(network, port).id, impairment });
  }

  /** Sends `body` to what the thread was extended by, and answers what that returns. */
  extension(body: unknown): Promise<unknown> {
    return this.request({ kind: 'extension', body });
  }

  /**
   * Writes the frames of a network to `sink` as pcapng, until the capture is stopped or the network is gone. Throws
   * TSVMM_E_NOT_FOUND, and TSVMM_E_CONFLICT when a capture is under way already.
   */
  async capture(
    name: string,
    sink: Writable,
    { snapLength = 0, ringBytes = DEFAULT_RING_BYTES }: CaptureRequest = {},
  ): Promise<Capture> {
    const record = this.registry.network(name);
    if (record.capture !== undefined) {
      throw new TsvmmError('TSVMM_E_CONFLICT', `network ${name} is being captured already`, {
        hint: 'end the other capture first',
      });
    }
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(ringBytes, MINIMUM_RING_BYTES)));
    const ring = new CaptureRing(CaptureRing.allocate(capacity));
    const stop = async () => {
      await this.send({ kind: 'stop-capture', network: record.number });
      record.capture = undefined;
    };
    const started = this.send({
      kind: 'start-capture',
      network: record.number,
      ring: ring.buffer,
      snapLength,
    });
    record.capture = new Capture(ring, sink, stop);
    await started;
    return record.capture;
  }

  /** Of all networks, or of one. Counters are read where they are counted: no thread is asked. */
  status(network?: string): PortStatus[] {
    const records = network === undefined ? this.registry.all : [this.registry.network(network)];
    return records.flatMap(record => [...record.ports.values()].map(port => this.statusOf(record, port)));
  }

  /**
   * Removes all networks and ends the thread. Afterwards a new network may be created. A thread that has failed does
   * not hinder it: that was told by onFailure.
   */
  async stop(): Promise<void> {
    for (const { config } of this.registry.all) await this.destroy(config.name).catch(() => {});
    const { thread } = this;
    this.thread = undefined;
    await thread?.stop().catch(() => {});
  }

  private async attachTap(record: NetworkRecord, { name, fd, offloads }: NonNullable<NetworkRecord['tap']>) {
    const { id } = this.registry.addPort(record, name, 'tap');
    this.table.reset(id, OUTSIDE);
    await this.send({
      kind: 'attach-tap',
      network: record.number,
      setup: { id, name, fd, offloads },
    });
  }

  private statusOf({ config }: NetworkRecord, { id, name, kind }: PortRecord): PortStatus {
    return {
      network: config.name,
      port: name,
      kind,
      epoch: this.table.epoch(id),
      counters: this.table.snapshot(id),
    };
  }

  private async send(message: NetMessage): Promise<void> {
    await this.request(message);
  }

  private request(message: NetMessage): Promise<unknown> {
    const { callerUrl, relative } = this.threadModule;
    const setup = { table: this.table.buffers } satisfies NetThreadSetup;
    if (this.thread === undefined) {
      this.thread = new IoThread<NetMessage, unknown>(callerUrl, relative, setup);
      this.thread.onNotice = notice => this.onNotice(notice);
      this.thread.ended.catch(error => this.onFailure(error));
    }
    return this.thread.request(message);
  }
}
