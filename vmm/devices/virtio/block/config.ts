import { bytes, struct, u8, u16, u32, usize } from '../../../ffi/struct.ts';

/** virtio 1.2 section 5.2.4, up to the last field that we offer. */
export const blockConfig = struct('virtio_blk_config', {
  capacity: usize,
  size_max: u32,
  seg_max: u32,
  geometry_cylinders: u16,
  geometry_heads: u8,
  geometry_sectors: u8,
  blk_size: u32,
  topology_physical_block_exp: u8,
  topology_alignment_offset: u8,
  topology_min_io_size: u16,
  topology_opt_io_size: u32,
  writeback: u8,
  unused0: u8,
  num_queues: u16,
  max_discard_sectors: u32,
  max_discard_seg: u32,
  discard_sector_alignment: u32,
  max_write_zeroes_sectors: u32,
  max_write_zeroes_seg: u32,
  write_zeroes_may_unmap: u8,
  unused1: bytes(3),
});
