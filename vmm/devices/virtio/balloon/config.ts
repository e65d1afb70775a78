import { struct, u32 } from '../../../ffi/struct.ts';

/** virtio 1.2 section 5.5.4, without the fields of features that we do not offer. */
export const balloonConfig = struct('virtio_balloon_config', {
  /** Pages that the host would like to have. */
  num_pages: u32,
  /** Pages that the driver has given; it writes that. */
  actual: u32,
});
