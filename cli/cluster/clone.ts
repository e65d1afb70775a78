import { randomBytes } from 'node:crypto';
import { TsvmmError } from '../../vmm/errors.ts';
import { deriveMac } from '../config/addresses.ts';
import type { ResolvedCluster, ResolvedNetwork } from '../config/resolved.ts';

/** How a restored cluster is to differ from the one that was snapshotted, which may still run beside it. */
export interface CloneChanges {
  /** NICs get addresses that no other cluster has. */
  readonly newMacs: boolean;
  /** The TAP device of a network, by the network's name; "" for none. */
  readonly taps: Readonly<Record<string, string>>;
}

/** `macs` has those of each VM's NICs as they are in the snapshot. Throws TSVMM_E_USAGE. */
export function cloneOf(
  config: ResolvedCluster,
  macs: ReadonlyMap<string, readonly string[]>,
  { newMacs, taps }: CloneChanges,
): ResolvedCluster {
  const seed = randomBytes(16).toString('hex');
  const vms = config.vms.map(vm => ({
    ...vm,
    nets: vm.nets.map((nic, i) => ({
      ...nic,
      mac: newMacs ? deriveMac(seed, vm.name, i) : (macs.get(vm.name)?.[i] ?? nic.mac),
    })),
  }));
  return { ...config, vms, networks: withTaps(config.networks, taps) };
}

function withTaps(
  networks: readonly ResolvedNetwork[],
  taps: CloneChanges['taps'],
): readonly ResolvedNetwork[] {
  const unknown = Object.keys(taps).find(name => !networks.some(network => network.name === name));
  if (unknown !== undefined) {
    const names = networks.map(({ name }) => name);
    throw new TsvmmError('TSVMM_E_USAGE', `the snapshot has no network "${unknown}"`, {
      hint: names.length === 0 ? 'its cluster has no networks' : `its networks are: ${names.join(', ')}`,
    });
  }
  return networks.map(network => {
    if (!Object.hasOwn(taps, network.name)) return network;
    const { tap: before, ...others } = network;
    const name = taps[network.name];
    if (name === undefined || name === '') return others;
    // The host's address stays with the tap that has it: on two interfaces it would be of no use on either.
    const { address: _, ...settings } = before ?? { offloads: true };
    return { ...others, tap: { ...settings, name } };
  });
}

/** An error of opening the clone's networks, with what to do about it. */
export function explainTap(error: unknown): unknown {
  if (!(error instanceof TsvmmError) || error.code !== 'TSVMM_E_CONFLICT') return error;
  return new TsvmmError(error.code, error.message, {
    hint: 'the cluster that was snapshotted may still run: restore with --tap NETWORK=OTHER, or --tap NETWORK= for none',
    cause: error,
  });
}
