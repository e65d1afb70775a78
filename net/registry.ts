import { TsvmmError } from '../vmm/errors.ts';
import type { Capture } from './capture/capture.ts';
import { MAXIMUM_PORTS } from './counters.ts';
import type { ImpairmentConfig } from './impairment.ts';
import { formatMac } from './mac.ts';
import type { Tap, TapConfig } from './tap/tap-device.ts';

export interface NetworkConfig {
  readonly name: string;
  /** Of the NICs and the tap; 68 to 65535, 1500 by default. */
  readonly mtu?: number;
  /** Connects the network to the host. */
  readonly tap?: TapConfig;
  /** For the links of all NICs that have none of their own. */
  readonly impairment?: ImpairmentConfig;
  /** How long a learned address is remembered, 300 s by default. */
  readonly ageing_s?: number;
}

export type PortKind = 'nic' | 'tap';

export interface PortRecord {
  readonly id: number;
  readonly name: string;
  readonly kind: PortKind;
  readonly mac: number | undefined;
}

export interface NetworkRecord {
  readonly number: number;
  readonly config: NetworkConfig;
  readonly mtu: number;
  readonly ports: Map<number, PortRecord>;
  tap: Tap | undefined;
  capture: Capture | undefined;
}

const MINIMUM_MTU = 68; // RFC 791
const MAXIMUM_MTU = 65535;
const DEFAULT_MTU = 1500;

/** What the control side knows of networks and ports: names, numbers, and that nothing is given out twice. */
export class Registry {
  private readonly networks = new Map<string, NetworkRecord>();
  private readonly usedPorts = new Set<number>();
  private nextNetwork = 0;
  private nextPort = 0;

  get all(): NetworkRecord[] {
    return [...this.networks.values()];
  }

  /** Throws TSVMM_E_CONFLICT when the name is taken, TSVMM_E_CONFIG when the MTU is none. */
  addNetwork(config: NetworkConfig): NetworkRecord {
    const { name, mtu = DEFAULT_MTU } = config;
    if (this.networks.has(name)) throw conflict(`network ${name} exists already`, 'choose another name');
    if (!Number.isInteger(mtu) || mtu < MINIMUM_MTU || mtu > MAXIMUM_MTU) {
      throw new TsvmmError('TSVMM_E_CONFIG', `network ${name} cannot have an MTU of ${mtu}`, {
        hint: `choose one between ${MINIMUM_MTU} and ${MAXIMUM_MTU}`,
      });
    }
    const record = {
      number: this.nextNetwork++,
      config,
      mtu,
      ports: new Map<number, PortRecord>(),
      tap: undefined,
      capture: undefined,
    };
    this.networks.set(name, record);
    return record;
  }

  removeNetwork(record: NetworkRecord): void {
    for (const id of record.ports.keys()) this.usedPorts.delete(id);
    record.ports.clear();
    this.networks.delete(record.config.name);
  }

  /** Throws TSVMM_E_NOT_FOUND. */
  network(name: string): NetworkRecord {
    const record = this.networks.get(name);
    if (record !== undefined) return record;
    throw new TsvmmError('TSVMM_E_NOT_FOUND', `there is no network ${name}`, {
      hint: `known networks: ${[...this.networks.keys()].join(', ') || 'none'}`,
    });
  }

  /** Throws TSVMM_E_NOT_FOUND. */
  port(network: string, name: string): PortRecord {
    const port = [...this.network(network).ports.values()].find(candidate => candidate.name === name);
    if (port !== undefined) return port;
    throw new TsvmmError('TSVMM_E_NOT_FOUND', `network ${network} has no port ${name}`);
  }

  /**
   * Throws TSVMM_E_CONFLICT when the address is used in the network, TSVMM_E_CONFIG when there are too many ports,
   * TSVMM_E_NOT_FOUND when the network has been removed.
   */
  addPort(network: NetworkRecord, name: string, kind: PortKind, mac?: number): PortRecord {
    if (this.network(network.config.name) !== network) {
      throw new TsvmmError('TSVMM_E_NOT_FOUND', `the network of ${name} has been removed`);
    }
    const twin = [...network.ports.values()].find(port => mac !== undefined && port.mac === mac);
    if (twin !== undefined && mac !== undefined) {
      throw conflict(
        `${name} and ${twin.name} both have the address ${formatMac(mac)}`,
        'give one another "mac"',
      );
    }
    const id = this.takePortNumber();
    const port = { id, name, kind, mac };
    network.ports.set(id, port);
    return port;
  }

  /** Nothing happens when it is gone already: its number may be somebody else's by now. */
  removePort(network: NetworkRecord, port: PortRecord): void {
    if (network.ports.delete(port.id)) this.usedPorts.delete(port.id);
  }

  /** One after the other, so that a number is used again late: frames of a port that is gone may still wait. */
  private takePortNumber(): number {
    if (this.usedPorts.size >= MAXIMUM_PORTS) {
      throw new TsvmmError('TSVMM_E_CONFIG', `one process can have ${MAXIMUM_PORTS} NICs and taps, not more`);
    }
    while (this.usedPorts.has(this.nextPort)) this.nextPort = (this.nextPort + 1) % MAXIMUM_PORTS;
    const id = this.nextPort;
    this.usedPorts.add(id);
    this.nextPort = (id + 1) % MAXIMUM_PORTS;
    return id;
  }
}

const conflict = (message: string, hint: string) => new TsvmmError('TSVMM_E_CONFLICT', message, { hint });
