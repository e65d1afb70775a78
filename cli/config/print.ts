import { formatInterface } from './addresses.ts';
import type {
  Impairment,
  ResolvedCluster,
  ResolvedDisk,
  ResolvedNetwork,
  ResolvedNic,
  ResolvedVm,
} from './resolved.ts';
import { formatSize } from './units.ts';

/** The cluster as a cluster file that says everything and leaves nothing to defaults; reading it changes nothing. */
export function asClusterFile({ name, vms, networks }: ResolvedCluster): object {
  return {
    name,
    vms: Object.fromEntries(vms.map(vm => [vm.name, vmEntry(vm)])),
    networks: Object.fromEntries(networks.map(network => [network.name, networkEntry(network)])),
  };
}

function networkEntry({ mtu, tap }: ResolvedNetwork): object {
  if (tap === undefined) return { mtu };
  const { name, address, offloads } = tap;
  return {
    mtu,
    tap: { name, ...(address === undefined ? {} : { address: formatInterface(address) }), offloads },
  };
}

function vmEntry({ guest, console, balloon, memory_bytes, vcpus, nets, disks }: ResolvedVm): object {
  return {
    ...guestKeys(guest),
    console,
    balloon,
    memory: formatSize(memory_bytes),
    vcpus,
    nets: nets.map(nicEntry),
    disks: disks.map(diskEntry),
  };
}

function guestKeys({ kind: _, ...keys }: ResolvedVm['guest']): object {
  if (!('packages' in keys) || keys.packages.length > 0) return keys;
  const { packages: none, ...others } = keys;
  return others;
}

function nicEntry({ network, ip, mac, impairment }: ResolvedNic): object {
  return {
    network,
    ...(ip === undefined ? {} : { ip: formatInterface(ip) }),
    mac,
    ...(impairment satisfies Impairment | undefined),
  };
}

function diskEntry({ size_bytes, base, readonly }: ResolvedDisk): object {
  return { size: formatSize(size_bytes), ...(base === undefined ? {} : { base }), readonly };
}
