import type { ImpairmentConfig, Networks, NicPlug, TapConfig } from '../../net/index.ts';
import type { ChannelState } from '../../snapshot/cluster/channel.ts';
import type { EpochSwitch } from '../../snapshot/cluster/interfaces.ts';
import { formatInterface } from '../config/addresses.ts';
import type { Impairment, ResolvedCluster, ResolvedTap, ResolvedVm } from '../config/resolved.ts';
import type { NetEpochSwitch } from './epochs/epoch-switch.ts';
import type { ClusterNetworks } from './parts.ts';

/** The networks of a cluster, and what a snapshot needs of them. */
export interface SnapshotNetworks extends ClusterNetworks {
  /** The ports of a VM, as the epoch protocol names them. */
  portsOf(vm: string): readonly string[];
  readonly epochSwitch: EpochSwitch;
  /** Settles when all ports are plugged in: before, frames of one VM would go past another. */
  ready(): Promise<void>;
  /** Hands the recorded frames of a restored snapshot to their receivers. Before the cluster is released. */
  inject(channel: ChannelState): Promise<void>;
  /** What `tsvmm capture` asks for. */
  readonly networks: Networks | undefined;
}

/**
 * Creates the networks of a cluster, with their taps. `epoch` is that of the snapshot it comes from, or 0. Throws
 * TSVMM_E_NET, TSVMM_E_NET_PERMISSION. `onFailure` is told when the net thread has failed: no frame flows then.
 */
export async function openNetworks(
  cluster: ResolvedCluster,
  epoch = 0,
  onFailure: (error: Error) => void = () => {},
): Promise<SnapshotNetworks> {
  if (cluster.networks.length === 0) return withoutNetworks;
  const [{ Networks }, { NetEpochSwitch }] = await Promise.all([
    import('../../net/index.ts'),
    import('./epochs/epoch-switch.ts'),
  ]);
  const networks = new Networks({ callerUrl: import.meta.url, relative: './epochs/net-thread' });
  networks.onFailure = onFailure;
  try {
    for (const { name, mtu, tap } of cluster.networks) {
      await networks.create({ name, mtu, ...(tap === undefined ? {} : { tap: tapConfig(tap) }) });
    }
  } catch (error) {
    await networks.stop();
    throw error;
  }
  return new OpenNetworks(networks, NetEpochSwitch, epoch);
}

class OpenNetworks implements SnapshotNetworks {
  readonly networks: Networks;
  readonly epochSwitch: NetEpochSwitch;
  private readonly plugs = new Map<string, NicPlug>();
  private readonly epoch: number;

  constructor(networks: Networks, Switch: typeof NetEpochSwitch, epoch: number) {
    this.networks = networks;
    this.epoch = epoch;
    this.epochSwitch = new Switch(networks, {
      keys: () => this.plugs.keys(),
      get: name => this.plugs.get(name)?.portId,
    });
  }

  async createNics(vm: ResolvedVm): Promise<NicPlug[]> {
    return vm.nets.map(({ network, mac, impairment }, index) => {
      const name = `net${index}`;
      const port = `${vm.name}/${name}`;
      const plug = this.networks.nic({
        name,
        network,
        mac,
        epoch: this.epoch,
        onDetach: () => this.epochSwitch.unplugging(port),
        ...(impairment === undefined ? {} : { impairment: impairmentConfig(impairment) }),
      });
      this.plugs.set(port, plug);
      return plug;
    });
  }

  portsOf(vm: string): string[] {
    return [...this.plugs.keys()].filter(port => port.startsWith(`${vm}/`));
  }

  async ready(): Promise<void> {
    await Promise.all([...this.plugs.values()].map(plug => plug.attached));
  }

  inject(channel: ChannelState): Promise<void> {
    return this.epochSwitch.inject(channel);
  }

  stats(): Record<string, unknown> {
    const byNetwork: Record<string, Record<string, unknown>> = {};
    for (const { network, port, kind, epoch, counters } of this.networks.status()) {
      byNetwork[network] ??= {};
      byNetwork[network][port] = { kind, epoch, ...counters };
    }
    return byNetwork;
  }

  close(): Promise<void> {
    return this.networks.stop();
  }
}

const tapConfig = ({ name, address, offloads }: ResolvedTap): TapConfig => ({
  name,
  offloads,
  ...(address === undefined ? {} : { address: formatInterface(address) }),
});

const impairmentConfig = ({
  delay_ms,
  jitter_ms,
  loss,
  rate_mbit,
  reorder,
  seed,
}: Impairment): ImpairmentConfig => ({
  delay_us: delay_ms * 1000,
  jitter_us: jitter_ms * 1000,
  loss,
  reorder,
  seed,
  ...(rate_mbit === 0 ? {} : { rate_bits_per_second: rate_mbit * 1e6 }),
});

const noChannel = { counts: new Map() };

/** A cluster of VMs that cannot talk: every cut is consistent. */
const withoutNetworks: SnapshotNetworks = {
  networks: undefined,
  createNics: async () => [],
  portsOf: () => [],
  ready: async () => {},
  inject: async () => {},
  stats: () => ({}),
  close: async () => {},
  epochSwitch: {
    open: async () => {},
    cutPort: () => {},
    releaseHeld: () => {},
    drain: async epoch => ({ channel: { epoch, frames: [] }, ...noChannel }),
    abort: async () => {},
    listen: () => {},
  },
};
