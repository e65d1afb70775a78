import { bytes, struct, u8, u16 } from '../../../ffi/struct.ts';

/** The configuration space (virtio 1.2 section 5.1.4), as far as its features are offered. */
export const virtioNetConfig = struct('virtio_net_config', {
  mac: bytes(6),
  status: u16,
  max_virtqueue_pairs: u16,
  mtu: u16,
});

export const LINK_UP = 1;

/** More addresses than these make the filter pass all of their kind. */
export const FILTER_CAPACITY = 28;

/**
 * What the driver asked for by control commands: it lies behind the configuration space of the spec, so that it is
 * saved and restored with it and cleared by a reset. The driver may read it, which harms nobody.
 */
export const receiveFilter = struct('receive_filter', {
  modes: u8,
  unicast_count: u8,
  multicast_count: u8,
  reserved: u8,
  addresses: bytes(FILTER_CAPACITY * 6),
});
export const RECEIVE_FILTER_OFFSET = 64;

/** Bits of `modes`; each is switched by the command of that name (section 5.1.6.5.1). */
export const ReceiveMode = {
  PROMISC: 1,
  ALLMULTI: 2,
  ALLUNI: 4,
  NOMULTI: 8,
  NOUNI: 16,
  NOBCAST: 32,
} as const;
