/**
 * Network interfaces as the kernel knows them: netdevice(7), and taps (Documentation/networking/tuntap.rst).
 */
import { bytes, i32, struct, u16 } from './struct.ts';

/** Requests of linux/if_tun.h. */
export const TUNSETIFF = 0x400454ca;
export const TUNSETOFFLOAD = 0x400454d0;
export const TUNSETVNETHDRSZ = 0x400454d8;

/** linux/if_tun.h, flags of TUNSETIFF and of TUNSETOFFLOAD. */
export const IFF = { TAP: 2, MULTI_QUEUE: 0x100, NO_PI: 0x1000, VNET_HDR: 0x4000 } as const;
export const TUN_F = { CSUM: 1, TSO4: 2, TSO6: 4, TSO_ECN: 8 } as const;

/** Requests of linux/sockios.h (netdevice(7)). */
export const SIOCGIFFLAGS = 0x8913;
export const SIOCSIFFLAGS = 0x8914;
export const SIOCGIFADDR = 0x8915;
export const SIOCSIFADDR = 0x8916;
export const SIOCGIFNETMASK = 0x891b;
export const SIOCSIFNETMASK = 0x891c;
export const SIOCGIFMTU = 0x8921;
export const SIOCSIFMTU = 0x8922;
export const IFF_UP = 1;

export const IFNAMSIZ = 16;

/** struct ifreq (netdevice(7)), with the members of its union that are used here. */
export const ifreq = struct(
  'ifreq',
  {
    ifr_name: bytes(IFNAMSIZ),
    ifr_flags: u16,
    ifr_mtu: i32,
    ifr_addr: bytes(16),
  },
  { ifr_flags: 16, ifr_mtu: 16, ifr_addr: 16, size: 40 },
);
