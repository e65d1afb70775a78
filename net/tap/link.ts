import { isIPv4 } from 'node:net';
import { TsvmmError } from '../../vmm/errors.ts';
import { checked, errno, SyscallError } from '../../vmm/ffi/errno.ts';
import { close, ioctlBuffer, socket } from '../../vmm/ffi/libc.ts';
import {
  IFF_UP,
  ifreq,
  SIOCGIFADDR,
  SIOCGIFFLAGS,
  SIOCGIFMTU,
  SIOCGIFNETMASK,
  SIOCSIFADDR,
  SIOCSIFFLAGS,
  SIOCSIFMTU,
  SIOCSIFNETMASK,
} from '../../vmm/ffi/netdevice.ts';
import type { View } from '../../vmm/ffi/struct.ts';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

/** Settings of a network interface (netdevice(7)). What is as wanted already is not touched: that needs no privilege. */
export class Link {
  private readonly name: string;
  /** Any socket will do: it names the network namespace. */
  private readonly socket = checked(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket');

  constructor(name: string) {
    this.name = name;
  }

  /** In this network namespace; /sys may show another one. */
  get exists(): boolean {
    return ioctlBuffer(this.socket, SIOCGIFFLAGS, this.request().bytes) !== -errno.ENODEV;
  }

  setMtu(mtu: number): void {
    const request = this.request();
    this.control('SIOCGIFMTU', SIOCGIFMTU, request);
    if (request.ifr_mtu === mtu) return;
    request.ifr_mtu = mtu;
    this.control('SIOCSIFMTU', SIOCSIFMTU, request);
  }

  setUp(): void {
    const request = this.request();
    this.control('SIOCGIFFLAGS', SIOCGIFFLAGS, request);
    if ((request.ifr_flags & IFF_UP) !== 0) return;
    request.ifr_flags |= IFF_UP;
    this.control('SIOCSIFFLAGS', SIOCSIFFLAGS, request);
  }

  /** `address` is like 10.0.0.254/24. */
  setAddress(address: string): void {
    const [host = '', length = ''] = address.split('/');
    const bits = Number(length);
    if (!isIPv4(host) || !/^\d+$/.test(length) || bits > 32) {
      throw new TsvmmError('TSVMM_E_CONFIG', `"${address}" is not an IPv4 address with its prefix length`, {
        hint: 'write it as 10.0.0.254/24',
      });
    }
    const mask = bits === 0 ? 0 : 2 ** 32 - 2 ** (32 - bits);
    const hostBytes = host.split('.').map(Number);
    const maskBytes = [24, 16, 8, 0].map(shift => Math.floor(mask / 2 ** shift) & 0xff);
    if (this.has(SIOCGIFADDR, hostBytes) && this.has(SIOCGIFNETMASK, maskBytes)) return;
    this.control('SIOCSIFADDR', SIOCSIFADDR, this.addressRequest(hostBytes));
    this.control('SIOCSIFNETMASK', SIOCSIFNETMASK, this.addressRequest(maskBytes));
  }

  close(): void {
    close(this.socket);
  }

  private request(): View<typeof ifreq.fields> {
    const request = ifreq.allocate();
    request.ifr_name.set(new TextEncoder().encode(this.name));
    return request;
  }

  /** Whether the address that `number` asks for is there, and this one. */
  private has(number: number, address: readonly number[]): boolean {
    const request = this.request();
    if (ioctlBuffer(this.socket, number, request.bytes) < 0) return false;
    return address.every((byte, index) => request.ifr_addr[4 + index] === byte);
  }

  /** struct sockaddr_in: family, port, address. */
  private addressRequest(address: readonly number[]): View<typeof ifreq.fields> {
    const request = this.request();
    request.ifr_addr.set([AF_INET, 0, 0, 0, ...address]);
    return request;
  }

  private control(call: string, number: number, request: View<typeof ifreq.fields>): void {
    const result = ioctlBuffer(this.socket, number, request.bytes);
    if (result >= 0) return;
    const denied = result === -errno.EPERM || result === -errno.EACCES;
    throw new SyscallError(
      `${call} on ${this.name}`,
      -result,
      denied ? 'TSVMM_E_NET_PERMISSION' : 'TSVMM_E_NET',
      denied ? `run as root, or set it up beforehand: sudo ip link set ${this.name} up mtu ...` : undefined,
    );
  }
}
