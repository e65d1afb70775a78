import { createHash } from 'node:crypto';
import type { DevicePlug } from '../vmm/devices/plug.ts';
import type { VirtioModel } from '../vmm/devices/virtio/model.ts';
import { netModel } from '../vmm/devices/virtio/net/model.ts';
import type { DeviceAttachment } from '../vmm/devices/virtio/served-device.ts';
import type { RamDescriptor } from '../vmm/memory/ram.ts';
import type { PortTable } from './counters.ts';
import type { ImpairmentConfig } from './impairment.ts';
import { formatMac, macFromBytes, macToBytes, parseMac } from './mac.ts';
import type { NetMessage } from './messages.ts';
import type { NetworkRecord, PortRecord, Registry } from './registry.ts';

export interface NicOptions {
  /** In its VM: "net0". */
  readonly name: string;
  readonly network: string;
  /** Like 52:54:00:12:34:56; macFor() makes one. */
  readonly mac: string;
  /** Of the frames that the VM sends; else the network's. */
  readonly impairment?: ImpairmentConfig;
  /** The VM's epoch when it comes from a snapshot. */
  readonly epoch?: number;
  /** Called at the beginning of detach(), when the switch still has the port: frames may wait for it. */
  readonly onDetach?: () => void;
}

interface Surroundings {
  readonly registry: Registry;
  readonly table: PortTable;
  send(message: NetMessage): Promise<void>;
}

/** A network card between a machine and a network: serves its queues from attach() to detach(). */
export class NicPlug implements DevicePlug {
  readonly name: string;
  readonly model: VirtioModel;
  private readonly options: NicOptions;
  private readonly mac: number;
  private readonly network: NetworkRecord;
  private readonly surroundings: Surroundings;
  private port: PortRecord | undefined;
  private attaching: Promise<void> = Promise.resolve();

  constructor(options: NicOptions, network: NetworkRecord, surroundings: Surroundings) {
    this.name = options.name;
    this.options = options;
    this.mac = parseMac(options.mac);
    this.network = network;
    this.surroundings = surroundings;
    this.model = netModel({ mac: macToBytes(this.mac), mtu: network.mtu });
  }

  /** The number of its port in the PortTable, while it is attached. */
  get portId(): number | undefined {
    return this.port?.id;
  }

  /** Settles when the switch knows the port: a frame that another port sends before goes past it. */
  get attached(): Promise<void> {
    return this.attaching;
  }

  get macAddress(): string {
    return formatMac(this.mac);
  }

  /**
   * Throws TSVMM_E_CONFLICT when the network has the address already. The net thread is not waited for: notifications
   * that come before it serves the queues stay in their eventfds.
   */
  async attach(attachment: DeviceAttachment, ram: RamDescriptor): Promise<void> {
    const { registry, table, send } = this.surroundings;
    const port = registry.addPort(this.network, attachment.name, 'nic', this.mac);
    this.port = port;
    table.reset(port.id, this.options.epoch ?? 0);
    const network = this.network.number;
    const attached = send({
      kind: 'attach-nic',
      network,
      setup: { id: port.id, name: port.name },
      attachment,
      ram,
    });
    const impairment = this.impairment();
    const impaired = impairment && send({ kind: 'impair', port: port.id, impairment });
    this.attaching = Promise.all([attached, impaired]).then(() => {});
    this.attaching.catch(() => {});
  }

  /** Afterwards the net thread uses neither the VM's memory nor the attachment. Idempotent. */
  async detach(): Promise<void> {
    const { port } = this;
    if (port === undefined) return;
    this.options.onDetach?.();
    this.port = undefined;
    const { registry, send } = this.surroundings;
    try {
      await this.attaching;
      // A network that was destroyed has let go of its ports.
      if (this.network.ports.has(port.id)) await send({ kind: 'detach', port: port.id });
    } finally {
      registry.removePort(this.network, port);
    }
  }

  /** Links of one network differ in their seeds, or they would all lose the same frames. */
  private impairment(): ImpairmentConfig | undefined {
    const { impairment } = this.options;
    if (impairment !== undefined) return impairment;
    const shared = this.network.config.impairment;
    return shared && { ...shared, seed: (shared.seed ?? 1) + (this.mac % 2 ** 24) };
  }
}

/**
 * A MAC address for what is called `name`, always the same: locally administered (IEEE 802), and different from that
 * of other names but for a chance of one in 2^40.
 */
export function macFor(name: string): string {
  const mac = createHash('sha256').update(name).digest().subarray(0, 6);
  mac[0] = 0x52;
  return formatMac(macFromBytes(mac));
}
