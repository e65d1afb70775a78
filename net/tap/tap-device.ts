import { HEADER_BYTES } from '../../vmm/devices/virtio/net/header.ts';
import { TsvmmError } from '../../vmm/errors.ts';
import { errno, SyscallError } from '../../vmm/ffi/errno.ts';
import { close, ioctl, ioctlBuffer, O, open } from '../../vmm/ffi/libc.ts';
import {
  IFF,
  IFNAMSIZ,
  ifreq,
  TUN_F,
  TUNSETIFF,
  TUNSETOFFLOAD,
  TUNSETVNETHDRSZ,
} from '../../vmm/ffi/netdevice.ts';
import { Link } from './link.ts';

export interface TapConfig {
  /** The interface's name on the host, 1 to 15 characters. */
  readonly name: string;
  /** Let the host's stack hand over large segments and open checksums (default true). */
  readonly offloads?: boolean;
  /** An IPv4 address for the host's side, as 10.0.0.254/24; none by default. */
  readonly address?: string;
}

/** A tap of the calling process's network namespace, open, up and ready for frames. */
export interface Tap {
  readonly name: string;
  readonly fd: number;
  readonly offloads: boolean;
  /** Whether the interface was there before; it stays then. */
  readonly adopted: boolean;
  /** Removes the interface, unless it was adopted. The kernel does the same when the process dies. */
  close(): void;
}

const TUN_PATH = '/dev/net/tun';

/**
 * Opens the tap `name`: an existing one is taken over, else it is created and goes away with close(). It is brought up
 * with the MTU given.
 *
 * Throws TSVMM_E_NET_PERMISSION (no /dev/net/tun, or no right to it), TSVMM_E_CONFLICT (somebody else has it),
 * TSVMM_E_CONFIG (not a name, or not that of a tap), TSVMM_E_NET; nothing is left behind then.
 */
export function openTap({ name, offloads = true, address }: TapConfig, mtu: number): Tap {
  validateName(name);
  const adopted = linkExists(name);
  const fd = open(TUN_PATH, O.RDWR | O.CLOEXEC | O.NONBLOCK);
  if (fd < 0) throw cannotOpen(-fd);
  try {
    attach(fd, name);
    setHeaderSize(fd);
    setOffloads(fd, offloads);
    bringUp(name, mtu, address);
  } catch (error) {
    close(fd);
    throw error;
  }
  return { name, fd, offloads, adopted, close: () => void close(fd) };
}

/** dev_valid_name of the kernel, and nothing that would make a path of it. */
function validateName(name: string): void {
  if (/^[^\s/:%]{1,15}$/.test(name) && name !== '.' && name !== '..') return;
  throw new TsvmmError('TSVMM_E_CONFIG', `"${name}" cannot be the name of a tap`, {
    hint: `take 1 to ${IFNAMSIZ - 1} letters, digits or dashes, as tsvmm0`,
  });
}

function attach(fd: number, name: string): void {
  const flags = IFF.TAP | IFF.NO_PI | IFF.VNET_HDR;
  let result = setInterface(fd, name, flags);
  // EINVAL is how a tap made for several queues tells that it wants them asked for.
  if (result === -errno.EINVAL) result = setInterface(fd, name, flags | IFF.MULTI_QUEUE);
  if (result < 0) throw cannotAttach(name, -result);
}

function setInterface(fd: number, name: string, flags: number): number {
  const request = ifreq.allocate();
  request.ifr_name.set(new TextEncoder().encode(name));
  request.ifr_flags = flags;
  return ioctlBuffer(fd, TUNSETIFF, request.bytes);
}

function linkExists(name: string): boolean {
  const link = new Link(name);
  const { exists } = link;
  link.close();
  return exists;
}

function setHeaderSize(fd: number): void {
  const result = ioctlBuffer(fd, TUNSETVNETHDRSZ, new Uint8Array(Int32Array.of(HEADER_BYTES).buffer));
  if (result < 0) throw new SyscallError('TUNSETVNETHDRSZ', -result, 'TSVMM_E_NET');
}

function setOffloads(fd: number, offloads: boolean): void {
  const flags = offloads ? TUN_F.CSUM | TUN_F.TSO4 | TUN_F.TSO6 | TUN_F.TSO_ECN : 0;
  const result = ioctl(fd, TUNSETOFFLOAD, flags);
  if (result < 0) throw new SyscallError('TUNSETOFFLOAD', -result, 'TSVMM_E_NET');
}

function bringUp(name: string, mtu: number, address: string | undefined): void {
  const link = new Link(name);
  try {
    link.setMtu(mtu);
    if (address !== undefined) link.setAddress(address);
    link.setUp();
  } finally {
    link.close();
  }
}

function cannotOpen(errorNumber: number): TsvmmError {
  const missing = errorNumber === errno.ENOENT || errorNumber === errno.ENODEV || errorNumber === errno.ENXIO;
  const hint = missing
    ? 'load the kernel module (modprobe tun), or leave "tap" out of the network'
    : `run as root, or give yourself access to ${TUN_PATH}`;
  const code =
    missing || errorNumber === errno.EPERM || errorNumber === errno.EACCES
      ? 'TSVMM_E_NET_PERMISSION'
      : 'TSVMM_E_NET';
  return new SyscallError(`opening ${TUN_PATH}`, errorNumber, code, hint);
}

function cannotAttach(name: string, errorNumber: number): TsvmmError {
  const call = `creating tap ${name}`;
  switch (errorNumber) {
    case errno.EPERM:
    case errno.EACCES:
      return new SyscallError(
        call,
        errorNumber,
        'TSVMM_E_NET_PERMISSION',
        `run as root, or make it once for yourself: sudo ip tuntap add ${name} mode tap user $USER && sudo ip link set ${name} up`,
      );
    case errno.EBUSY:
      return new SyscallError(
        call,
        errorNumber,
        'TSVMM_E_CONFLICT',
        'another process uses it: take another name',
      );
    case errno.EINVAL:
      return new SyscallError(
        call,
        errorNumber,
        'TSVMM_E_CONFIG',
        'an interface of that name exists and is no tap',
      );
    default:
      return new SyscallError(call, errorNumber, 'TSVMM_E_NET');
  }
}
