import { suggest } from '../ui/suggest.ts';
import { deriveMac, hash32 } from './addresses.ts';
import type { Path } from './document.ts';
import { limits } from './limits.ts';
import type { Report } from './problems.ts';
import type { Impairment, ResolvedNetwork, ResolvedNic, ResolvedTap } from './resolved.ts';
import type { ClusterFile, ImpairmentEntry, NetworkEntry, NicEntry } from './schema.ts';

const DEFAULT_MTU = 1500;

export function resolveNetworks({ networks }: ClusterFile): ResolvedNetwork[] {
  return Object.entries(networks).map(([name, { tap, mtu = DEFAULT_MTU }]) => ({
    name,
    mtu,
    ...(tap === undefined ? {} : { tap: tapOf(tap) }),
  }));
}

function tapOf(entry: NonNullable<NetworkEntry['tap']>): ResolvedTap {
  if (typeof entry === 'string') return { name: entry, offloads: true };
  const { name, address, offloads = true } = entry;
  return { name, ...(address === undefined ? {} : { address }), offloads };
}

/** The NICs of each virtual machine, with their addresses; reports clashes and networks that are not there. */
export function resolveNets(
  cluster: string,
  file: ClusterFile,
  report: Report,
): ReadonlyMap<string, readonly ResolvedNic[]> {
  const { networks } = file;
  const nics = Object.entries(file.vms).flatMap(([vm, { nets }]) =>
    nets.map((entry, index) => ({ vm, index, entry, at: ['vms', vm, 'nets', index] as Path })),
  );
  reportClashes(nics, networks, report);
  reportTaps(networks, report);

  const macs = new Set(nics.flatMap(({ entry }) => entry.mac ?? []));
  const byVm = new Map<string, ResolvedNic[]>();
  for (const { vm, index, entry, at } of nics) {
    const network = Object.hasOwn(networks, entry.network) ? networks[entry.network] : undefined;
    if (network === undefined)
      report([...at, 'network'], unknownNetwork(entry.network, Object.keys(networks)));
    const seed = entry.seed ?? hash32(`${entry.network}/${vm}/${index}`, network?.seed ?? 0);
    const impairment = impairmentOf({ ...network, ...entry }, seed);
    const nic: ResolvedNic = {
      network: entry.network,
      mac: entry.mac ?? freeMac(macs, cluster, vm, index),
      ...(entry.ip === undefined ? {} : { ip: entry.ip }),
      ...(impairment === undefined ? {} : { impairment }),
    };
    byVm.set(vm, [...(byVm.get(vm) ?? []), nic]);
  }
  return byVm;
}

interface PlacedNic {
  readonly vm: string;
  readonly entry: NicEntry;
  readonly at: Path;
}

function reportClashes(nics: readonly PlacedNic[], networks: ClusterFile['networks'], report: Report): void {
  const ips = new Map<string, string>();
  const macs = new Map<string, string>();
  for (const [network, { tap }] of Object.entries(networks)) {
    const address = tap === undefined ? undefined : tapOf(tap).address;
    if (address !== undefined) ips.set(`${network} ${address.address}`, 'the host');
  }
  const claim = (owners: Map<string, string>, key: string, { vm, at }: PlacedNic, what: string) => {
    const owner = owners.get(key);
    if (owner === undefined) owners.set(key, vm);
    else report(at, `${what} is taken by ${owner === vm ? 'another NIC of this VM' : owner}`);
  };
  for (const nic of nics) {
    const { network, ip, mac } = nic.entry;
    if (ip !== undefined) {
      const placed = { ...nic, at: [...nic.at, 'ip'] };
      claim(ips, `${network} ${ip.address}`, placed, `${ip.address} in network ${network}`);
    }
    if (mac !== undefined) claim(macs, mac, { ...nic, at: [...nic.at, 'mac'] }, `the address ${mac}`);
  }
}

function reportTaps(networks: ClusterFile['networks'], report: Report): void {
  const users = new Map<string, string>();
  for (const [network, { tap, mtu = DEFAULT_MTU }] of Object.entries(networks)) {
    if (tap === undefined) continue;
    const { name } = tapOf(tap);
    const user = users.get(name);
    if (user !== undefined)
      report(['networks', network, 'tap'], `${name} is the tap of network ${user} already`);
    users.set(name, network);
    if (mtu > limits.tapMtu)
      report(['networks', network, 'mtu'], `a network with a tap has an MTU of ${limits.tapMtu} at most`);
  }
}

function unknownNetwork(name: string, known: readonly string[]): string {
  const similar = suggest(name, known);
  if (similar !== undefined) return `there is no network "${name}"; did you mean "${similar}"?`;
  return `there is no network "${name}"; add it under "networks"`;
}

function freeMac(taken: Set<string>, cluster: string, vm: string, index: number): string {
  let attempt = 0;
  let mac = deriveMac(cluster, vm, index);
  while (taken.has(mac)) mac = deriveMac(cluster, vm, index, ++attempt);
  taken.add(mac);
  return mac;
}

/** Undefined when nothing is impaired. */
function impairmentOf(entry: ImpairmentEntry, seed: number): Impairment | undefined {
  const { delay_ms = 0, jitter_ms = 0, loss = 0, rate_mbit = 0, reorder = false } = entry;
  if (delay_ms === 0 && jitter_ms === 0 && loss === 0 && rate_mbit === 0) return undefined;
  return { delay_ms, jitter_ms, loss, rate_mbit, reorder, seed };
}
