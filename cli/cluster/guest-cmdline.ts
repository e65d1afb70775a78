import type { ResolvedVm } from '../config/resolved.ts';

/**
 * The kernel command line of a VM, without the words by which the machine announces its devices. An image gets, after
 * its own words and those of the cluster file, what it cannot find out by itself: `vcpus=2 vm=server ip=10.0.0.1/24 ip1=...`.
 */
export function guestCmdline({ name, guest, console, vcpus, nets }: ResolvedVm, imageWords?: string): string {
  if (guest.kind === 'kernel') return guest.cmdline;
  const addresses = nets.flatMap(({ ip }, index) =>
    ip === undefined ? [] : `ip${index === 0 ? '' : index}=${ip.address}/${ip.prefix}`,
  );
  const own = imageWords === undefined ? [] : [imageWords];
  // Linux writes to all consoles that are named; the last is /dev/console.
  if (console === 'virtio') own.push('console=hvc0');
  return [...own, ...guest.args, `vcpus=${vcpus}`, `vm=${name}`, ...addresses].join(' ');
}
