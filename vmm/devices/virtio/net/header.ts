import { struct, u8, u16 } from '../../../ffi/struct.ts';

/** Precedes every frame in a virtqueue (virtio 1.2 section 5.1.6) and, by TUNSETVNETHDRSZ, on a tap. */
export const virtioNetHeader = struct('virtio_net_hdr_v1', {
  flags: u8,
  gso_type: u8,
  hdr_len: u16,
  gso_size: u16,
  csum_start: u16,
  csum_offset: u16,
  num_buffers: u16,
});

export const HEADER_BYTES = virtioNetHeader.size;

export const HeaderFlag = { NEEDS_CSUM: 1, DATA_VALID: 2 } as const;

/** Values of gso_type; ECN is a bit beside them. */
export const GsoType = { NONE: 0, TCPV4: 1, TCPV6: 4, ECN: 0x80 } as const;

/**
 * What a frame leaves to be done by whoever gets it, and what a receiver can do: sets of these bits. A frame may go
 * unchanged to a receiver that has all of its bits.
 */
export const Offload = { CHECKSUM: 1, TSO4: 2, TSO6: 4, ECN: 8 } as const;
export const SEGMENTATION_OFFLOADS = Offload.TSO4 | Offload.TSO6 | Offload.ECN;
